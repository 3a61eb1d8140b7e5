import { writeFile } from 'node:fs/promises';
import path from 'node:path';

import { create } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';

import type { GuestAgent } from '../../../src/guest/agent.js';
import {
  Agent,
  ExecResponseSchema,
  type ExecRequest,
  type ExecRequest_Command,
} from '../../../src/guest/gen/tart_pb.js';
import { connectTo, Refusal, serveRpc, type Handler } from '../../support/rpc-server.js';

// Tart's own agent by its traits on the wire, played: half-closes mean nothing, a second end of input breaks its reading,
// a start failure has no exit, and fields of newer versions are not known.

const signal = AbortSignal.timeout(20_000);

interface Played {
  readonly agent: GuestAgent;
  readonly commands: ExecRequest_Command[];
  /** Of each chunk of standard input. */
  readonly inputs: number[];
  readonly directory: string;
}

const out = (text: string): unknown =>
  create(ExecResponseSchema, { type: { case: 'standardOutput', value: { data: Buffer.from(text) } } });
const err = (text: string): unknown =>
  create(ExecResponseSchema, { type: { case: 'standardError', value: { data: Buffer.from(text) } } });
const exit = (code: number): unknown => create(ExecResponseSchema, { type: { case: 'exit', value: { code } } });

/** @param behave what comes after the command was read; `input` reads chunks, `undefined` at the client's half-close */
async function played(
  behave: (command: ExecRequest_Command, input: () => Promise<Uint8Array | undefined>) => AsyncIterable<unknown>,
): Promise<Played> {
  const commands: ExecRequest_Command[] = [];
  const inputs: number[] = [];
  const exec: Handler = async function* (requests) {
    const iterator = (requests as AsyncIterable<ExecRequest>)[Symbol.asyncIterator]();
    const first = await iterator.next();
    if (first.done === true || first.value.type.case !== 'command') throw new Refusal(status.UNKNOWN, 'no command');
    commands.push(first.value.type.value);
    const input = async (): Promise<Uint8Array | undefined> => {
      const next = await iterator.next();
      if (next.done === true) return undefined;
      if (next.value.type.case !== 'standardInput') return input();
      inputs.push(next.value.type.value.data.length);
      return next.value.type.value.data;
    };
    yield* behave(first.value.type.value, input);
  };
  const { socket, directory } = await serveRpc(Agent, { exec });
  return { agent: await connectTo(socket), commands, inputs, directory };
}

async function* chunks(...texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Promise.resolve(Buffer.from(text));
}

async function run(
  agent: GuestAgent,
  options: Partial<Parameters<GuestAgent['exec']>[0]> = {},
): Promise<{ readonly code: number; readonly signal: number; readonly stdout: string; readonly stderr: string }> {
  let stdout = '';
  let stderr = '';
  const end = await agent.exec({
    program: { kind: 'argv', argv: ['program', 'x'] },
    signal,
    onStdout: (bytes) => void (stdout += Buffer.from(bytes).toString()),
    onStderr: (bytes) => void (stderr += Buffer.from(bytes).toString()),
    ...options,
  });
  return { code: end.code, signal: end.signal, stdout, stderr };
}

describe("a guest with Tart's own agent", () => {
  it('is known by what it does not serve', async () => {
    const { agent, commands } = await played(async function* () {
      yield await Promise.resolve(exit(0));
    });
    expect(agent.capabilities).toEqual(['tart-fallback']);
    await run(agent);
    expect(commands[0]).toMatchObject({
      name: 'program',
      args: ['x'],
      interactive: false,
      env: {},
      workdir: '',
      detach: false,
    });
  });

  it('never sees fields that an older version does not know', async () => {
    const { agent, commands } = await played(async function* () {
      yield await Promise.resolve(exit(0));
    });
    await run(agent, { cwd: '/x', env: { A: 'b' } });
    expect(commands[0]).toMatchObject({ name: '/usr/bin/env', env: {}, workdir: '' });
    expect(commands[0]?.args.slice(0, 3)).toEqual(['A=b', '/bin/sh', '-c']);
    expect(commands[0]?.args.slice(-3)).toEqual(['/x', 'program', 'x']);
  });

  it('gets the end of input as one empty chunk, and no half-close', async () => {
    const { agent, inputs } = await played(async function* (_command, input) {
      for (;;) {
        const data = await input();
        if (data === undefined) throw new Refusal(status.UNKNOWN, 'half-closed');
        if (data.length === 0) break;
      }
      yield exit(0);
    });
    expect(await run(agent, { stdin: chunks('abc', '', 'de') })).toMatchObject({ code: 0 });
    expect(inputs).toEqual([3, 2, 0]);
  });

  it('may stop reading input and still end', async () => {
    const { agent } = await played(async function* (_command, input) {
      await input();
      yield out('enough');
      yield exit(3);
    });
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) yield Promise.resolve(Buffer.alloc(100_000));
    }
    expect(await run(agent, { stdin: endless() })).toMatchObject({ code: 3, stdout: 'enough' });
  });

  it('tells a signal as -1', async () => {
    const { agent } = await played(async function* () {
      yield await Promise.resolve(exit(-1));
    });
    expect(await run(agent)).toMatchObject({ code: 0, signal: 9 });
  });

  it('is not taken for a success when it ends without an exit', async () => {
    const { agent } = await played(async function* () {
      yield await Promise.resolve(out('half'));
    });
    await expect(run(agent)).rejects.toMatchObject({ code: 'agent-protocol' });
  });

  it.each([
    ['exec: "program": executable file not found in $PATH', 'command-not-found'],
    ['fork/exec /x/program: no such file or directory', 'command-not-found'],
    ['fork/exec /x/program: permission denied', 'command-not-executable'],
    ['fork/exec /x/program: exec format error', 'command-not-executable'],
    ['chdir /no/such: no such file or directory', 'guest-request-refused'],
    ['chdir /root: permission denied', 'guest-request-refused'],
    ['something \u001b[31mnew', 'guest-request-refused'],
  ])('whose text is %j is understood as %s', async (text, code) => {
    const { agent } = await played(async function* () {
      await Promise.resolve();
      throw new Refusal(status.UNKNOWN, text);
    });
    const failure = run(agent);
    await expect(failure).rejects.toMatchObject({ code, blame: 'user' });
    await expect(failure).rejects.not.toThrow('\u001b');
  });

  it('cannot make a program look refused without knowing the marker', async () => {
    const { agent } = await played(async function* () {
      await Promise.resolve();
      yield err('vm-runner-');
      yield err('0000 bad-cwd\n');
      yield exit(1);
    });
    expect(await run(agent, { cwd: '/x' })).toMatchObject({ code: 1, stderr: 'vm-runner-0000 bad-cwd\n' });
  });

  it('that loses bytes of a file is found out, and told to drop it', async () => {
    const dropped: string[] = [];
    const { agent, directory } = await played(async function* (command, input) {
      const last = command.args.at(-1) ?? '';
      if (command.interactive) {
        while ((await input())?.length !== 0);
        yield out('4294967295 0\n');
      } else {
        dropped.push(last);
        yield err('bytes were lost on the way: /target\n');
        yield exit(last === 'whole' ? 0 : 83);
        return;
      }
      yield exit(0);
    });
    const source = path.join(directory, 'a');
    await writeFile(source, 'content');
    await expect(agent.putFile(source, '/target', { signal })).rejects.toMatchObject({ code: 'agent-protocol' });
    expect(dropped).toEqual(['']);
  });

  it.each([
    ['nothing', ''],
    ['garbage', 'what?\0\0'],
    ['a number without end', `81a4 ${'9'.repeat(400)} 0 0 1 0 0\0\0`],
  ])('that says %s of a path is not believed', async (_what, answer) => {
    const { agent, directory } = await played(async function* () {
      await Promise.resolve();
      if (answer !== '') yield out(answer);
      yield exit(0);
    });
    await expect(agent.getFile('/x', path.join(directory, 'x'), signal)).rejects.toMatchObject({
      code: 'guest-untrusted-data',
    });
  });

  it('that sends more of a file than it announced is stopped', async () => {
    const { agent, directory } = await played(async function* (command) {
      await Promise.resolve();
      if (command.args.some((arg) => arg.includes('exec cat'))) for (;;) yield out('x'.repeat(1000));
      yield out('81a4 5 0 0 1 0 0\0\0');
      yield exit(0);
    });
    await expect(agent.getFile('/x', path.join(directory, 'x'), signal)).rejects.toMatchObject({
      code: 'guest-untrusted-data',
    });
  });

  it('that floods a listing is stopped', async () => {
    const { agent, directory } = await played(async function* () {
      await Promise.resolve();
      for (;;) yield out('./x\0'.repeat(100_000));
    });
    const selection = { directory: '/x', include: [], exclude: [] };
    await expect(agent.getTree(selection, path.join(directory, 'home'), signal)).rejects.toMatchObject({
      code: 'guest-untrusted-data',
    });
  });
});
