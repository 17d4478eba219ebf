#!/usr/bin/env node
// Starts Concord on Node.js 24 or newer. In a checkout the sources run as they are; an installed package runs its build.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));
