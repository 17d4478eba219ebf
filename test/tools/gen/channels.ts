import { readFileSync } from "node:fs";
import ts from "typescript";

const FOLDER = new URL("../../../node/observability/", import.meta.url);

/** One channel as its source describes it. */
export interface ChannelReference {
  readonly name: string;
  /** Interface of its events. */
  readonly event: string;
  /** What the interface says of itself. */
  readonly meaning: string;
  /** Besides `node`. */
  readonly fields: readonly string[];
}

/** Every channel of `channels.ts`, in order, with what `events.ts` says of its events. */
export function channelReferences(): readonly ChannelReference[] {
  const interfaces = new Map<string, ts.InterfaceDeclaration>();
  visit(source("events.ts"), (node) => {
    if (ts.isInterfaceDeclaration(node)) interfaces.set(node.name.text, node);
  });
  const found: ChannelReference[] = [];
  visit(source("channels.ts"), (node) => {
    if (!ts.isAsExpression(node) || !ts.isCallExpression(node.expression) || !ts.isTypeReferenceNode(node.type)) return;
    const [name] = node.expression.arguments;
    const event = node.type.typeArguments?.[0]?.getText() ?? "";
    const declaration = interfaces.get(event);
    if (name === undefined || !ts.isStringLiteral(name) || declaration === undefined)
      throw new Error(`There is no interface of the events of ${node.getText()}`);
    found.push({ name: name.text, event, meaning: meaningOf(declaration), fields: fieldsOf(declaration) });
  });
  return found;
}

function meaningOf(declaration: ts.InterfaceDeclaration): string {
  const comment = ts.getTextOfJSDocComment(ts.getJSDocCommentsAndTags(declaration).find(ts.isJSDoc)?.comment);
  if (comment === undefined) throw new Error(`${declaration.name.text} does not say what it means`);
  return comment.replace(/\s+/g, " ");
}

const fieldsOf = ({ members }: ts.InterfaceDeclaration): string[] =>
  members.flatMap((member) => (ts.isPropertySignature(member) ? [member.name.getText()] : []));

const source = (file: string): ts.SourceFile =>
  ts.createSourceFile(file, readFileSync(new URL(file, FOLDER), "utf8"), ts.ScriptTarget.Latest, true);

function visit(node: ts.Node, each: (node: ts.Node) => void): void {
  each(node);
  ts.forEachChild(node, (child) => visit(child, each));
}
