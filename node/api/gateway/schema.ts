import { type MessageTypeDefinition, type MethodDefinition } from "@grpc/proto-loader";
import { loadEtcdPackages } from "../etcd/definition.ts";

/** A message of etcd's API: its fields in their order. */
export interface MessageSchema {
  readonly name: string;
  readonly fields: readonly Field[];
  /** By every name that JSON may give them: that of rpc.proto, and the same in camel case. */
  readonly byName: ReadonlyMap<string, Field>;
  /**
   * What Go calls the oneof of the message. Clients that send Go's structs as they are have one object of this name around
   * the field that is chosen.
   */
  readonly wrapper: string | undefined;
}

export interface Field {
  readonly name: string;
  readonly type: FieldType;
  readonly repeated: boolean;
  /** One of several of which a message has at most one. */
  readonly inOneof: boolean;
}

export type FieldType =
  | { readonly kind: "bytes" | "string" | "bool" | "int64" | "uint64" | "uint32" }
  | {
      readonly kind: "enum";
      readonly numbers: ReadonlyMap<string, number>;
      readonly names: ReadonlyMap<number, string>;
    }
  | { readonly kind: "message"; readonly schema: () => MessageSchema };

type AnyMessage = MessageTypeDefinition<object, object>;

/** What is read of a google.protobuf.DescriptorProto. */
interface Descriptor {
  readonly name: string;
  readonly field: readonly {
    readonly name: string;
    readonly label: string;
    readonly type: string;
    readonly typeName: string;
  }[];
  readonly enumType: readonly EnumDescriptor[];
  readonly oneofDecl: readonly { readonly name: string }[];
}

interface EnumDescriptor {
  readonly name: string;
  readonly value: readonly { readonly name: string; readonly number: number }[];
}

const SCALARS: Readonly<Record<string, "bytes" | "string" | "bool" | "int64" | "uint64" | "uint32">> = {
  TYPE_BYTES: "bytes",
  TYPE_STRING: "string",
  TYPE_BOOL: "bool",
  TYPE_INT64: "int64",
  TYPE_UINT64: "uint64",
  TYPE_UINT32: "uint32",
};

const schemas = new Map<string, MessageSchema>();

/** @param name - with its package */
export function messageSchema(name: string): MessageSchema {
  const known = schemas.get(name);
  if (known !== undefined) return known;
  const definition = loadEtcdPackages()[name] as AnyMessage;
  const descriptor = definition.type as Descriptor;
  // The descriptors do not say which fields are in a oneof. Of an empty message everything but those has a default.
  const outside = definition.deserialize(Buffer.alloc(0));
  const fields = descriptor.field.map((field): Field => ({
    name: field.name,
    type: fieldType(name, descriptor, field.type, field.typeName),
    repeated: field.label === "LABEL_REPEATED",
    inOneof: descriptor.oneofDecl.length > 0 && !Object.hasOwn(outside, field.name),
  }));
  const byName = new Map<string, Field>();
  for (const field of fields) byName.set(field.name, field).set(camelCase(field.name), field);
  const [oneof] = descriptor.oneofDecl;
  const wrapper = oneof === undefined ? undefined : capitalised(camelCase(oneof.name));
  const schema = { name, fields, byName, wrapper };
  schemas.set(name, schema);
  return schema;
}

/** The schemas of a method's request and response, which are in the method's own package. */
export function schemasOf(method: MethodDefinition<object, object>): Record<"request" | "response", MessageSchema> {
  const from = packageOf(method.path.slice(1));
  const schema = ({ type }: { readonly type: object }): MessageSchema =>
    messageSchema(`${from}.${(type as Descriptor).name}`);
  return { request: schema(method.requestType), response: schema(method.responseType) };
}

function packageOf(name: string): string {
  return name.slice(0, name.indexOf("."));
}

function fieldType(message: string, owner: Descriptor, type: string, typeName: string): FieldType {
  // A name without a package is of the message's own.
  const fullName = typeName.includes(".") ? typeName : `${packageOf(message)}.${typeName}`;
  // Messages contain each other: the schema inside is made when it is first needed.
  if (type === "TYPE_MESSAGE") return { kind: "message", schema: () => messageSchema(fullName) };
  if (type === "TYPE_ENUM") {
    const shared = loadEtcdPackages()[fullName] as { readonly type: object } | undefined;
    const inner = owner.enumType.find(({ name }) => name === typeName);
    const { value } = inner ?? (shared?.type as EnumDescriptor);
    return {
      kind: "enum",
      numbers: new Map(value.map((each) => [each.name, each.number])),
      names: new Map(value.map((each) => [each.number, each.name])),
    };
  }
  const kind = SCALARS[type];
  if (kind === undefined) throw new TypeError(`rpc.proto has a field of ${type}, which JSON is not made from here`);
  return { kind };
}

const camelCase = (name: string): string => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
const capitalised = (name: string): string => name.charAt(0).toUpperCase() + name.slice(1);
