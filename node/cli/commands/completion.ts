import { type Command } from "commander";
import { ConcordError } from "../../client/errors.ts";
import { type CommandIo } from "../context.ts";

type Shell = "bash" | "zsh" | "fish";

/** What can stand behind a command's name. */
interface Completion {
  /** Names of the command and those above it, without the program's. */
  readonly path: readonly string[];
  readonly words: readonly { readonly word: string; readonly description: string }[];
}

/** `concord completion`: scripts that know every command and flag, made from the command line itself. */
export function registerCompletion(program: Command, io: CommandIo): void {
  program
    .command("completion <shell>")
    .description("print the completion script for bash, zsh or fish")
    .action((shell: string) => {
      if (!isShell(shell))
        throw new ConcordError("CONCORD_USAGE", `There is no completion for "${shell}", expected bash, zsh or fish`);
      io.stdout(SCRIPTS[shell](completionsOf(program, [])));
    });
}

function isShell(text: string): text is Shell {
  return Object.hasOwn(SCRIPTS, text);
}

function completionsOf(command: Command, path: readonly string[]): Completion[] {
  const commands = command.commands.map((each) => ({ word: each.name(), description: each.description() }));
  const options = command.options
    .filter(({ hidden }) => !hidden)
    .map(({ long, short, description }) => ({ word: long ?? short ?? "", description }));
  const own = { path, words: [...commands, ...options, { word: "--help", description: "display help" }] };
  return [own, ...command.commands.flatMap((each) => completionsOf(each, [...path, each.name()]))];
}

const wordsOf = ({ words }: Completion): string => words.map(({ word }) => word).join(" ");

/** The words before the one to complete are tried as a path, the longest first. */
function bash(all: readonly Completion[]): string {
  const cases = all.map((each) => `    "${each.path.join(" ")}") words="${wordsOf(each)}" ;;`);
  return `# bash completion for concord: source <(concord completion bash)
_concord_words() {
  local words
  case "$1" in
${cases.join("\n")}
    *) return 1 ;;
  esac
  printf '%s' "$words"
}
_concord() {
  local current="\${COMP_WORDS[COMP_CWORD]}" path="" word next
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    next="\${path:+$path }$word"
    _concord_words "$next" >/dev/null && path="$next"
  done
  COMPREPLY=($(compgen -W "$(_concord_words "$path")" -- "$current"))
  [[ \${#COMPREPLY[@]} -gt 0 ]] || COMPREPLY=($(compgen -f -- "$current"))
}
complete -F _concord concord
`;
}

function zsh(all: readonly Completion[]): string {
  return `#compdef concord
# zsh completion for concord: source <(concord completion zsh)
autoload -U +X bashcompinit && bashcompinit
${bash(all).split("\n").slice(1).join("\n")}`;
}

function fish(all: readonly Completion[]): string {
  const quote = (text: string): string => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const lines = all.flatMap(({ path, words }) => {
    const below = words.filter(({ word }) => !word.startsWith("-")).map(({ word }) => word);
    const seen = path.map((name) => `__fish_seen_subcommand_from ${name}`);
    const unseen = below.length === 0 ? [] : [`not __fish_seen_subcommand_from ${below.join(" ")}`];
    const condition =
      path.length === 0 && below.length > 0 ? "__fish_use_subcommand" : [...seen, ...unseen].join("; and ");
    return words.map(({ word, description }) => {
      const what = word.startsWith("--")
        ? `-l ${word.slice(2)}`
        : word.startsWith("-")
          ? `-s ${word.slice(1)}`
          : `-f -a ${word}`;
      return `complete -c concord -n ${quote(condition)} ${what} -d ${quote(description)}`;
    });
  });
  return `# fish completion for concord: concord completion fish | source\n${lines.join("\n")}\n`;
}

const SCRIPTS: Readonly<Record<Shell, (all: readonly Completion[]) => string>> = { bash, zsh, fish };
