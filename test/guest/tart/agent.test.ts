import { chmod, mkdir, readdir, readFile, readlink, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { VmRunnerError } from '../../../src/core/errors.js';
import type { Program } from '../../../src/core/job.js';
import type { GuestAgent } from '../../../src/guest/agent.js';
import type { ExecOptions, ProgramEnd } from '../../../src/guest/exec.js';
import { localAgent, type LocalAgent } from '../../support/agent.js';
import { connectTo } from '../../support/rpc-server.js';
import { temporaryDirectory } from '../../support/temporary-directory.js';

// The fallback against the `Agent` service of the shipped binary. TART_AGENT names the socket of another agent to try.

const signal = AbortSignal.timeout(50_000);
async function tart(): Promise<Pick<LocalAgent, 'agent' | 'directory'>> {
  const other = process.env['TART_AGENT'];
  if (other === undefined) return await localAgent({ onlyTart: true });
  return { agent: await connectTo(other), directory: await temporaryDirectory() };
}
const sh = (script: string): Program => ({ kind: 'argv', argv: ['sh', '-c', script] });

async function execute(
  agent: GuestAgent,
  program: Program,
  options: Partial<ExecOptions> = {},
): Promise<ProgramEnd & { stdout: string; stderr: string }> {
  const out: Uint8Array[] = [];
  const err: Uint8Array[] = [];
  const end = await agent.exec({
    program,
    signal,
    onStdout: (bytes) => void out.push(bytes),
    onStderr: (bytes) => void err.push(bytes),
    ...options,
  });
  return { ...end, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() };
}

async function* chunks(...texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Promise.resolve(Buffer.from(text));
}

describe('exec through Tart', () => {
  it('keeps streams and exit code as they are', async () => {
    const { agent } = await tart();
    expect(await execute(agent, sh('echo out; echo err >&2; exit 7'))).toEqual({
      code: 7,
      signal: 0,
      timedOut: false,
      usage: undefined,
      stdout: 'out\n',
      stderr: 'err\n',
    });
    expect(agent.capabilities).toEqual(['tart-fallback']);
  });

  it('takes exit code -1 for a signal', async () => {
    const { agent } = await tart();
    expect(await execute(agent, sh('kill -TERM $$'))).toMatchObject({ code: 0, signal: 9 });
  });

  it('gives variables and a directory, whatever is in them', async () => {
    const { agent, directory } = await tart();
    await mkdir(path.join(directory, 'a "b" $c'));
    expect(
      await execute(agent, sh('printf "%s|%s" "$PWD" "$ODD"; exit 3'), {
        cwd: path.join(directory, 'a "b" $c'),
        env: { ODD: "it's `x` $(y)\n=" },
      }),
    ).toMatchObject({ stdout: `${directory}/a "b" $c|it's \`x\` $(y)\n=`, code: 3 });
    expect(
      (await execute(agent, { kind: 'argv', argv: ['env'] }, { env: { ONLY: '1' }, clearEnv: true })).stdout,
    ).toMatch(/^(?:(?:ONLY|PWD|OLDPWD|SHLVL|_)=.*\n)+$/);
  });

  it('feeds standard input to its end, skipping empty chunks, and does not wait for what is never read', async () => {
    const { agent } = await tart();
    const cat: Program = { kind: 'argv', argv: ['cat'] };
    expect(await execute(agent, cat, { stdin: chunks('one ', '', 'two') })).toMatchObject({ stdout: 'one two' });
    expect(await execute(agent, cat, { stdin: chunks() })).toMatchObject({ stdout: '', code: 0 });
    expect(await execute(agent, cat)).toMatchObject({ stdout: '', code: 0 });
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) yield Promise.resolve(Buffer.alloc(65_536));
    }
    expect(await execute(agent, sh('head -c 1 >/dev/null; exit 5'), { stdin: endless() })).toMatchObject({ code: 5 });
  });

  it('runs scripts by their first line, else by a shell that stops at the first failing line', async () => {
    const { agent } = await tart();
    const script = (text: string): Program => ({ kind: 'script', content: Buffer.from(text), args: ['x'] });
    expect(
      await execute(agent, script('read l; echo "$l $1"; false; echo b'), { stdin: chunks('in\n') }),
    ).toMatchObject({
      stdout: 'in x\n',
      code: 1,
    });
    expect(await execute(agent, script('#!/bin/cat\nx'))).toMatchObject({ stdout: '#!/bin/cat\nx' });
  });

  it('gives a terminal of the size and kind that were asked for', async () => {
    const { agent } = await tart();
    const terminal = { size: { rows: 33, columns: 99 }, term: 'vt100', onResize: () => undefined };
    expect(
      await execute(agent, sh('test -t 0 && stty size && echo $TERM'), { terminal, stdin: chunks() }),
    ).toMatchObject({ stdout: '33 99\r\nvt100\r\n', code: 0 });
  });

  it.each([
    ['a program that is not there', { program: { kind: 'argv', argv: ['no-such-program'] } }, 'command-not-found'],
    ['a path that is not there', { program: { kind: 'argv', argv: ['/no/such'] } }, 'command-not-found'],
    ['a program that cannot be run', { program: { kind: 'argv', argv: ['/etc/passwd'] } }, 'command-not-executable'],
    ['a directory that is not there', { program: sh('true'), cwd: '/no/such' }, 'guest-request-refused'],
    ['no program at all', { program: { kind: 'argv', argv: [] } }, 'guest-request-refused'],
  ] as const)('refuses %s, alone and with variables', async (_what, options, code) => {
    const { agent } = await tart();
    await expect(execute(agent, options.program, options)).rejects.toMatchObject({ code, blame: 'user' });
    await expect(execute(agent, options.program, { ...options, env: { A: '1' } })).rejects.toMatchObject({ code });
  });

  it('leaves an exit code that looks like a refusal alone', async () => {
    const { agent } = await tart();
    expect(await execute(agent, sh('exit 127'), { env: { A: '1' } })).toMatchObject({ code: 127 });
  });

  it('ends a program whose time is over, or that was cancelled', async () => {
    const { agent } = await tart();
    expect(await execute(agent, { kind: 'argv', argv: ['sleep', '1000'] }, { timeoutMs: 200 })).toMatchObject({
      timedOut: true,
      signal: 9,
    });
    const controller = new AbortController();
    const running = execute(agent, { kind: 'argv', argv: ['sleep', '1000'] }, { signal: controller.signal });
    controller.abort(new VmRunnerError('cancelled', 'enough'));
    await expect(running).rejects.toThrow('enough');
  });

  it('starts programs that go on, and signals them', async () => {
    const { agent } = await tart();
    const pid = await agent.detach({ program: { kind: 'argv', argv: ['sleep', '1000'] } });
    expect(await readFile(`/proc/${pid}/comm`, 'utf8')).toMatch(/sleep|sh|nohup/);
    await agent.signal(pid, 15);
    await expect.poll(() => readFile(`/proc/${pid}/stat`, 'utf8').catch(() => 'gone')).toMatch(/gone|\) Z /);
    await expect(agent.signal(2 ** 22 + 1, 15)).rejects.toMatchObject({ code: 'guest-request-refused' });
    await expect(agent.detach({ program: { kind: 'argv', argv: ['no-such'] } })).rejects.toMatchObject({
      code: 'command-not-found',
    });
  });

  it.each([
    ['run as another user', (agent: GuestAgent) => execute(agent, sh('true'), { user: 'nobody' })],
    ['run in the base root', (agent: GuestAgent) => execute(agent, sh('true'), { root: 'base' })],
    ['forward', (agent: GuestAgent) => agent.forward({ kind: 'tcp', port: 80 })],
    ['grow disks', (agent: GuestAgent) => agent.growDisk()],
    ['power off', (agent: GuestAgent) => agent.shutdown()],
  ])('says that it cannot %s', async (_what, attempt) => {
    const { agent } = await tart();
    await expect(attempt(agent)).rejects.toMatchObject({
      code: 'agent-protocol',
      message: expect.stringMatching(/^Tart's guest agent cannot .*\. Install vm-runner's own agent/) as string,
    });
  });

  it('tells who the guest is, and is content with an identity', async () => {
    const { agent } = await tart();
    expect(await agent.info()).toMatchObject({ os: 'linux', arch: 'amd64', capabilities: ['tart-fallback'] });
    const identity = { unixNanos: 1n, entropy: Buffer.alloc(32), hostname: 'x', machineId: 'f'.repeat(32) };
    expect(await agent.resume({ ...identity, network: undefined })).toEqual([]);
  });
});

describe('files through Tart', () => {
  it('go in and come out as they are', async () => {
    const { agent, directory } = await tart();
    const at = (name: string): string => path.join(directory, name);
    await writeFile(at('source'), Buffer.from(Array.from({ length: 700_001 }, (_, i) => i % 253)));
    await chmod(at('source'), 0o751);
    await utimes(at('source'), 1_700_000_000, 1_700_000_000);
    await agent.putFile(at('source'), at("new/it's $x/target"), { signal });
    await agent.getFile(at("new/it's $x/target"), at('back'), signal);
    expect((await readFile(at('back'))).equals(await readFile(at('source')))).toBe(true);
    const back = await stat(at('back'));
    expect([back.mode & 0o777, back.mtimeMs]).toEqual([0o751, 1_700_000_000_000]);
    expect(await readdir(at("new/it's $x"))).toEqual(['target']);
  });

  it('may be empty', async () => {
    const { agent, directory } = await tart();
    await writeFile(path.join(directory, 'a'), '');
    await agent.putFile(path.join(directory, 'a'), path.join(directory, 'b'), { signal });
    await agent.getFile(path.join(directory, 'b'), path.join(directory, 'c'), signal);
    expect((await stat(path.join(directory, 'c'))).size).toBe(0);
  });

  it.each([
    ['that are not there', '/no/such/file', 'guest-file-missing'],
    ['that are directories', '/etc', 'guest-is-directory'],
    ['that are devices', '/dev/null', 'guest-request-refused'],
  ])('%s are refused, and nothing is left', async (_what, source, code) => {
    const { agent, directory } = await tart();
    await mkdir(path.join(directory, 'home'));
    await expect(agent.getFile(source, path.join(directory, 'home/x'), signal)).rejects.toMatchObject({ code });
    expect(await readdir(path.join(directory, 'home'))).toEqual([]);
  });

  it('are not put where a directory is, or where nothing can be written', async () => {
    const { agent, directory } = await tart();
    const source = path.join(directory, 'a');
    await writeFile(source, 'x');
    await mkdir(path.join(directory, 'd'));
    await expect(agent.putFile(source, path.join(directory, 'd'), { signal })).rejects.toMatchObject({
      code: 'guest-is-directory',
    });
    expect(await readdir(path.join(directory, 'd'))).toEqual([]);
    await expect(agent.putFile(source, '/proc/no/x', { signal })).rejects.toMatchObject({
      code: 'guest-request-refused',
    });
    await expect(agent.putFile(source, '/dev/full/x', { signal })).rejects.toMatchObject({ blame: 'user' });
  });

  it('are looked at, listed, made and removed', async () => {
    const { agent, directory } = await tart();
    const at = path.join(directory, 'box');
    expect(await agent.makeDirectory(path.join(at, 'deep'), { parents: true, mode: 0o711 })).toBe(true);
    expect(await agent.makeDirectory(path.join(at, 'deep'), { parents: true })).toBe(false);
    await expect(agent.makeDirectory(path.join(at, 'deep'))).rejects.toMatchObject({ code: 'guest-request-refused' });
    await writeFile(path.join(at, '.odd\n name'), '12345');
    await symlink('deep', path.join(at, 'link'));
    expect(await agent.stat(path.join(at, '.odd\n name'))).toMatchObject({ type: 'file', size: 5, links: 1 });
    expect(await agent.stat(path.join(at, 'link'))).toMatchObject({ type: 'symlink', linkTarget: 'deep' });
    expect(await agent.stat(path.join(at, 'link'), { follow: true })).toMatchObject({ type: 'directory', mode: 0o711 });
    const names: string[] = [];
    for await (const { name } of agent.list(at)) names.push(name);
    expect(names.sort()).toEqual(['.odd\n name', 'deep', 'link']);
    await expect(agent.remove(at)).rejects.toMatchObject({ code: 'guest-request-refused' });
    expect(await agent.remove(path.join(at, 'link'))).toBe(1);
    expect(await agent.remove(at, { recursive: true })).toBe(3);
    expect(await agent.remove(at, { ignoreMissing: true })).toBe(0);
    await expect(agent.remove(at)).rejects.toMatchObject({ code: 'guest-file-missing' });
    await expect(agent.stat(at)).rejects.toMatchObject({ code: 'guest-file-missing' });
  });
});

describe('trees through Tart', () => {
  async function tree(directory: string): Promise<string> {
    const source = path.join(directory, 'src');
    await mkdir(path.join(source, '.git/deep'), { recursive: true });
    await mkdir(path.join(source, 'empty'));
    await writeFile(path.join(source, 'main.c'), 'int main;');
    await writeFile(path.join(source, '.git/deep/x.log'), 'log');
    await writeFile(path.join(source, 'run'), '#!/bin/sh\n', { mode: 0o755 });
    await symlink('main.c', path.join(source, 'link'));
    return source;
  }

  it('go in and come out as they are, with odd and long names', async () => {
    const { agent, directory } = await tart();
    const source = await tree(directory);
    for (const name of ['-C', 'back\\new', 'new\nline', 'ü'.repeat(110)]) {
      await writeFile(path.join(source, name), name);
    }
    const [guest, home] = [path.join(directory, 'guest/tree'), path.join(directory, 'home')];
    await agent.putTree(source, guest, { signal });
    expect((await readdir(guest, { recursive: true })).sort()).toEqual(
      (await readdir(source, { recursive: true })).sort(),
    );
    const { files } = await agent.getTree({ directory: guest, include: [], exclude: [] }, home, signal);
    expect(files).toBe(7);
    expect((await readdir(home, { recursive: true })).sort()).toEqual(
      (await readdir(source, { recursive: true })).sort(),
    );
    expect(await readlink(path.join(home, 'link'))).toBe('main.c');
    expect((await stat(path.join(home, 'run'))).mode & 0o777).toBe(0o755);
    expect(await readFile(path.join(home, 'new\nline'), 'utf8')).toBe('new\nline');
  });

  it.each([
    [['**'], [], ['.git/deep/x.log', 'link', 'main.c', 'run']],
    [['*.c'], [], ['main.c']],
    [['**/*.log'], [], ['.git/deep/x.log']],
    [['.git'], [], ['.git/deep/x.log']],
    [['**'], ['.git'], ['link', 'main.c', 'run']],
    [['**', '!.git'], [], ['link', 'main.c', 'run']],
    [['{main.c,run}', 'no-such'], [], ['main.c', 'run']],
    [['[l-m]*'], [], ['link', 'main.c']],
    [['nothing/**'], [], []],
  ])('are selected by %j without %j', async (include, exclude, expected) => {
    const { agent, directory } = await tart();
    const source = await tree(directory);
    const home = path.join(directory, 'home');
    await mkdir(home);
    await agent.getTree({ directory: source, include, exclude }, home, signal);
    const names = await readdir(home, { recursive: true, withFileTypes: true });
    const files = names
      .filter((entry) => !entry.isDirectory())
      .map((entry) => path.relative(home, path.join(entry.parentPath, entry.name)));
    expect(files.sort()).toEqual(expected);
  });

  it('may hold more names than one program takes', async () => {
    const { agent, directory } = await tart();
    await mkdir(path.join(directory, 'many'));
    const names = Array.from({ length: 1500 }, (_, index) => `${'n'.repeat(60)}${index}`);
    for (const name of names) await symlink('n', path.join(directory, 'many', name));
    const selection = { directory: path.join(directory, 'many'), include: [], exclude: [] };
    const home = path.join(directory, 'home');
    expect((await agent.getTree(selection, home, signal)).skippedLinks).toEqual([]);
    expect((await readdir(home)).length).toBe(1500);
  });

  it('that are not there, or with a bad glob, are refused', async () => {
    const { agent, directory } = await tart();
    const attempt = (from: string, include: readonly string[]): Promise<unknown> =>
      agent.getTree({ directory: from, include, exclude: [] }, path.join(directory, 'x'), signal);
    await expect(attempt('/no/such', [])).rejects.toMatchObject({ code: 'guest-file-missing' });
    await expect(attempt(directory, ['[a'])).rejects.toMatchObject({ code: 'guest-request-refused' });
    await expect(attempt(directory, ['../x'])).rejects.toMatchObject({ code: 'guest-request-refused' });
  });
});
