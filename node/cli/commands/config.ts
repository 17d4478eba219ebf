import { type Command } from "commander";
import { addConfigurationOptions, configurationFrom } from "../../config/load.ts";
import { type CommandIo, type OutputFormat } from "../context.ts";
import { addOutputOption, print } from "../output.ts";

/** `concord config check`. */
export function registerConfig(program: Command, io: CommandIo): void {
  const config = program.command("config").description("check the configuration of a member");
  const check = config.command("check [file]");
  addOutputOption(check).description("check a file, flags and variables together as concord node takes them");
  addConfigurationOptions(check).action(
    (file: string | undefined, flags: Readonly<Record<string, unknown>> & { readonly output: OutputFormat }) => {
      const { warnings, ...settings } = configurationFrom(
        file === undefined ? flags : { ...flags, configFile: file },
        io.env,
      );
      print(io, flags.output, { settings, warnings }, () =>
        [`OK, a configuration for member "${settings.name}"`, ...warnings.map((each) => `Warning: ${each}`), ""].join(
          "\n",
        ),
      );
    },
  );
}
