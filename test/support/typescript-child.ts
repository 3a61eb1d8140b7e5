import { spawn, type ChildProcess } from 'node:child_process';
import path from 'node:path';

import { onTestFinished } from 'vitest';

const ROOT = path.resolve(import.meta.dirname, '../..');

/** Loads a file as vitest does, and calls what it exports as `run`. */
const LOADER = `
import { createViteServer } from 'vitest/node';
const [file, ...args] = process.argv.slice(1);
const options = { root: process.cwd(), configFile: false, appType: 'custom', logLevel: 'error' };
const server = await createViteServer({ ...options, server: { middlewareMode: true, ws: false, watch: null } });
const { run } = await server.ssrLoadModule(file);
await run(...args);
await server.close();
`;

/** Starts a process that runs the `run` of a TypeScript file. It ends with the test. */
export function startTypeScript(file: string, args: readonly string[]): ChildProcess {
  const child = spawn(process.execPath, ['--input-type=module', '-e', LOADER, file, ...args], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}
