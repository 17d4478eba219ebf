import js from "@eslint/js";
import tseslint from "typescript-eslint";

// Folders that hold decisions only: no clock, randomness, environment, I/O or async may enter them.
const PURE = [
  "node/raft/**",
  "node/machine/**",
  "node/codec/**",
  "node/client/wire/**",
  "operator/api/**",
  "operator/plan/**",
  "operator/resources/**",
];
const CLOCK_AND_IO = [
  "process",
  "setTimeout",
  "setInterval",
  "setImmediate",
  "queueMicrotask",
  "fetch",
  "console",
  "performance",
  "crypto",
  "Date",
].map((name) => ({ name, message: "Pure folder: time, randomness and I/O are inputs here." }));
const ASYNC = [
  { selector: ":function[async=true]", message: "Pure folder: synchronous code only." },
  { selector: "AwaitExpression", message: "Pure folder: synchronous code only." },
];
const EVERYWHERE = [
  { selector: "TSEnumDeclaration", message: "Use an `as const` object." },
  { selector: "TSParameterProperty", message: "Declare the field." },
];

/** Forbids every import whose path matches none of `allowed` (regular expressions). */
const onlyImports = (allowed) => ({
  "no-restricted-imports": [
    "error",
    {
      patterns: [{ regex: `^(?!(?:${allowed.join("|")}))`, message: "See the import table in node/ARCHITECTURE.md." }],
    },
  ],
});

export default tseslint.config(
  { ignores: ["dist/**", "node_modules/**", "coverage/**"] },
  js.configs.recommended,
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ["test/tools/*.js", "node/cli/*.js"] },
        tsconfigRootDir: new URL("../..", import.meta.url).pathname,
      },
    },
    rules: {
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true, allowBoolean: true }],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      "@typescript-eslint/consistent-type-imports": ["error", { fixStyle: "inline-type-imports" }],
      "@typescript-eslint/unbound-method": ["error", { ignoreStatic: true }],
      "no-restricted-syntax": ["error", ...EVERYWHERE],
      eqeqeq: "error",
    },
  },
  {
    files: ["**/*.js"],
    extends: [tseslint.configs.disableTypeChecked],
    languageOptions: { globals: { process: "readonly", URL: "readonly", console: "readonly" } },
  },
  {
    files: PURE,
    ignores: ["**/*.test.ts"],
    rules: {
      "no-restricted-globals": ["error", ...CLOCK_AND_IO],
      "no-restricted-properties": [
        "error",
        { object: "Math", property: "random", message: "Randomness is an input here." },
      ],
      "no-restricted-syntax": ["error", ...EVERYWHERE, ...ASYNC],
    },
  },
  // The import table. Tests are free.
  { files: ["node/raft/**"], ignores: ["**/*.test.ts"], rules: onlyImports(["\\./"]) },
  { files: ["node/machine/**"], ignores: ["**/*.test.ts"], rules: onlyImports(["\\./"]) },
  {
    files: ["node/codec/**"],
    ignores: ["**/*.test.ts"],
    rules: onlyImports(["\\./", "\\.\\./raft/", "\\.\\./machine/", "node:zlib$"]),
  },
  {
    files: ["node/client/**"],
    ignores: ["**/*.test.ts"],
    rules: onlyImports(["\\./", "node:", "undici$", "ws$", "typebox", "@peculiar/x509$"]),
  },
  {
    files: ["node/client/session/**", "node/client/store/**"],
    ignores: ["**/*.test.ts"],
    rules: onlyImports(["\\./", "\\.\\./[a-z-]+\\.ts$", "\\.\\./(wire|store)/", "node:", "ws$"]),
  },
  { files: ["node/client/wire/**"], ignores: ["**/*.test.ts"], rules: onlyImports(["\\./", "\\.\\./errors\\.ts$"]) },
  {
    files: ["node/storage/**", "node/transport/**", "node/observability/**", "node/config/**"],
    ignores: ["**/*.test.ts"],
    rules: {
      "no-restricted-imports": [
        "error",
        {
          patterns: [
            {
              regex: "^\\..*/(runtime|service|api|cli|security|index|main)(/|\\.ts|$)",
              message: "Imports go down only.",
            },
          ],
        },
      ],
    },
  },
  {
    files: ["node/runtime/**"],
    ignores: ["**/*.test.ts"],
    rules: {
      "no-restricted-imports": [
        "error",
        {
          patterns: [
            {
              regex: "/(service|api|cli|wal|level|tcp)/|^(@grpc|classic-level|prom-client|express)",
              message: "The runtime sees interfaces; implementations are injected.",
            },
          ],
        },
      ],
    },
  },
  {
    files: ["node/service/**"],
    ignores: ["**/*.test.ts"],
    rules: {
      "no-restricted-imports": [
        "error",
        { patterns: [{ regex: "/(api|cli)/|^(@grpc|express|ws|commander)", message: "Imports go down only." }] },
      ],
    },
  },
  {
    files: ["operator/api/**", "operator/plan/**", "operator/resources/**"],
    ignores: ["**/*.test.ts"],
    rules: onlyImports(["\\./", "\\.\\./", "\\.\\./\\.\\./", "typebox"]),
  },
  {
    files: ["operator/**"],
    ignores: ["**/*.test.ts", "operator/api/**", "operator/plan/**", "operator/resources/**"],
    rules: {
      "no-restricted-imports": [
        "error",
        { patterns: [{ regex: "node/(?!client/)", message: "The operator knows the node only through node/client." }] },
      ],
    },
  },
  {
    files: ["**/*.test.ts", "test/**"],
    rules: {
      "@typescript-eslint/no-non-null-assertion": "off",
      "@typescript-eslint/no-unsafe-assignment": "off",
    },
  },
);
