import { execFile } from 'node:child_process';
import { cp, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

import { describe, expect, it } from 'vitest';

import { temporaryDirectory } from './support/temporary-directory.js';

const ROOT = path.resolve(import.meta.dirname, '..');
const BUF = path.join(ROOT, 'node_modules/.bin/buf');
const run = promisify(execFile);

/** A copy of the contract that a test may change. */
async function copyOfContract(): Promise<string> {
  const directory = await temporaryDirectory();
  for (const name of ['buf.yaml', 'proto', 'guest-agent/proto']) {
    await cp(path.join(ROOT, name), path.join(directory, name), { recursive: true });
  }
  return directory;
}

/** What would break a program that knows the accepted contract; empty when nothing would. */
async function breaks(directory: string): Promise<string> {
  try {
    await run(BUF, ['breaking', 'proto', '--against', 'proto/descriptor.json'], { cwd: directory });
    return '';
  } catch (error) {
    return (error as { stdout: string }).stdout;
  }
}

async function change(directory: string, name: string, from: string, to: string): Promise<void> {
  const file = path.join(directory, 'proto/vmrunner/agent/v1', name);
  const text = await readFile(file, 'utf8');
  expect(text).toContain(from);
  await writeFile(file, text.replace(from, to));
}

describe('the contract of the agent', () => {
  it('is the one in proto/descriptor.json (accept a change with: sh scripts/accept-proto.sh)', async () => {
    const { stdout } = await run(BUF, ['build', 'proto', '--exclude-source-info', '-o', '-#format=json'], {
      cwd: ROOT,
      maxBuffer: 16 * 2 ** 20,
    });
    const accepted = await readFile(path.join(ROOT, 'proto/descriptor.json'), 'utf8');
    expect(JSON.parse(stdout)).toEqual(JSON.parse(accepted));
  });

  it('breaks no program that knows the accepted one', async () => {
    expect(await breaks(ROOT)).toBe('');
  });

  it.each([
    ['a field with another number', 'exec.proto', 'uint32 pid = 1;', 'uint32 pid = 9;'],
    ['a field of another type', 'files.proto', 'uint64 hole = 4;', 'string hole = 4;'],
    ['a field less', 'system.proto', 'string boot_id = 8;', ''],
    ['a method less', 'agent.proto', 'rpc Signal(SignalRequest) returns (SignalResponse);', ''],
  ])('is seen to break with %s', async (_what, file, from, to) => {
    const directory = await copyOfContract();
    await change(directory, file, from, to);
    expect(await breaks(directory)).not.toBe('');
  });

  it('may grow', async () => {
    const directory = await copyOfContract();
    await change(directory, 'system.proto', 'string boot_id = 8;', 'string boot_id = 8;\n  string added = 99;');
    expect(await breaks(directory)).toBe('');
  });
});
