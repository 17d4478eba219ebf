import { type Field, type FieldType, type MessageSchema } from "./schema.ts";

/** Text is gathered up to this length before it becomes bytes: answers may be longer than a string can be. */
const TEXT_LENGTH = 64 * 1024;

/**
 * The JSON form of a response, on one line, as etcd writes it: names as in rpc.proto, 64-bit numbers as texts, bytes as
 * base64, enums by name, and nothing that is zero or empty.
 *
 * @param before - text in front of it, `after` behind it
 */
export function encodeMessage(schema: MessageSchema, message: object, before = "", after = ""): Buffer {
  const output = new Output();
  output.text(before);
  writeMessage(output, schema, message);
  output.text(after);
  return output.bytes();
}

class Output {
  readonly #chunks: Buffer[] = [];
  #text = "";

  text(text: string): void {
    this.#text += text;
    if (this.#text.length > TEXT_LENGTH) this.#flush();
  }

  bytes(): Buffer {
    this.#flush();
    return this.#chunks.length === 1 ? (this.#chunks[0] ?? EMPTY) : Buffer.concat(this.#chunks);
  }

  #flush(): void {
    this.#chunks.push(Buffer.from(this.#text));
    this.#text = "";
  }
}

const EMPTY = Buffer.alloc(0);

function writeMessage(output: Output, schema: MessageSchema, message: object): void {
  output.text("{");
  let separator = "";
  for (const field of schema.fields) {
    const value = (message as Readonly<Record<string, unknown>>)[field.name];
    if (isLeftOut(field, value)) continue;
    output.text(`${separator}"${field.name}":`);
    separator = ",";
    if (field.repeated) writeItems(output, field.type, value as readonly unknown[]);
    else writeValue(output, field.type, value);
  }
  output.text("}");
}

function writeItems(output: Output, type: FieldType, items: readonly unknown[]): void {
  output.text("[");
  items.forEach((item, index) => {
    if (index > 0) output.text(",");
    writeValue(output, type, item);
  });
  output.text("]");
}

/** Absent or zero, in any of the forms that a response may have it in. */
function isLeftOut({ type, repeated, inOneof }: Field, value: unknown): boolean {
  if (value === undefined || value === null) return true;
  if (repeated) return (value as readonly unknown[]).length === 0;
  if (inOneof || type.kind === "message") return false;
  if (type.kind === "bytes") return (value as Uint8Array).length === 0;
  if (type.kind === "enum") return value === 0 || value === type.names.get(0);
  return value === 0 || value === "0" || value === "" || value === false;
}

function writeValue(output: Output, type: FieldType, value: unknown): void {
  switch (type.kind) {
    case "message":
      writeMessage(output, type.schema(), value as object);
      return;
    case "bytes": {
      const { buffer, byteOffset, length } = value as Uint8Array;
      output.text(`"${Buffer.from(buffer, byteOffset, length).toString("base64")}"`);
      return;
    }
    case "int64":
    case "uint64":
      output.text(`"${String(value)}"`);
      return;
    case "enum":
      // A number that has no name here stays a number.
      output.text(JSON.stringify(typeof value === "number" ? (type.names.get(value) ?? value) : value));
      return;
    case "string":
    case "bool":
    case "uint32":
      output.text(JSON.stringify(value));
      return;
  }
}
