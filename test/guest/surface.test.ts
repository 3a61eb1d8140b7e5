import { once } from 'node:events';
import { link, lstat, mkdir, readdir, readFile, stat, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import type { GuestAgent } from '../../src/guest/agent.js';
import type { ExecOptions, ProgramEnd } from '../../src/guest/exec.js';
import type { TreeProgress } from '../../src/guest/tree.js';
import { localAgent } from '../support/agent.js';

// The later parts of the contract between the two houses: our client against the shipped binary of the agent.

const signal = AbortSignal.timeout(50_000);

function run(agent: GuestAgent, argv: readonly string[], options: Partial<ExecOptions> = {}): Promise<ProgramEnd> {
  const nowhere = (): void => undefined;
  return agent.exec({ program: { kind: 'argv', argv }, signal, onStdout: nowhere, onStderr: nowhere, ...options });
}

describe('exec', () => {
  it('ends a program whose time is over, and says so', async () => {
    const { agent } = await localAgent();
    expect(await run(agent, ['sleep', '1000'], { timeoutMs: 200 })).toMatchObject({ signal: 15, timedOut: true });
    expect(await run(agent, ['true'], { timeoutMs: 10_000 })).toMatchObject({ code: 0, timedOut: false });
  });

  it('tells what a program used', async () => {
    const { agent } = await localAgent();
    const { usage } = await run(agent, ['sh', '-c', 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done']);
    expect(usage?.peakMemoryBytes).toBeGreaterThan(100_000);
    expect((usage?.userMicros ?? 0) + (usage?.systemMicros ?? 0)).toBeGreaterThan(0);
  });

  it('gives nothing but the variables that were asked for', async () => {
    const { agent } = await localAgent();
    let output = '';
    const onStdout = (bytes: Uint8Array): void => void (output += Buffer.from(bytes).toString());
    await run(agent, ['/usr/bin/env'], { env: { ONLY: '1' }, clearEnv: true, onStdout });
    expect(output).toBe('ONLY=1\n');
  });

  it('starts programs that go on, and signals them', async () => {
    const { agent } = await localAgent();
    const pid = await agent.detach({ program: { kind: 'argv', argv: ['sleep', '1000'] } });
    expect((await readFile(`/proc/${pid}/comm`, 'utf8')).trim()).toBe('sleep');
    await agent.signal(pid, 9);
    await expect.poll(() => readFile(`/proc/${pid}/stat`, 'utf8').catch(() => 'gone')).toBe('gone');
    await expect(agent.signal(pid, 9)).rejects.toMatchObject({ code: 'guest-request-refused' });
    await expect(agent.detach({ program: { kind: 'argv', argv: ['no-such'] } })).rejects.toMatchObject({
      code: 'command-not-found',
    });
  });
});

describe('paths', () => {
  it('are looked at, listed, made and removed', async () => {
    const { agent, directory } = await localAgent();
    const at = path.join(directory, 'box');
    expect(await agent.makeDirectory(path.join(at, 'deep'), { parents: true, mode: 0o711 })).toBe(true);
    expect(await agent.makeDirectory(path.join(at, 'deep'), { parents: true })).toBe(false);
    await expect(agent.makeDirectory(path.join(at, 'deep'))).rejects.toMatchObject({ code: 'guest-request-refused' });
    await writeFile(path.join(at, '.odd\n name'), '12345');
    await symlink('deep', path.join(at, 'link'));
    const { mtimeNs } = await lstat(path.join(at, '.odd\n name'), { bigint: true });
    expect(await agent.stat(path.join(at, '.odd\n name'))).toMatchObject({
      name: '.odd\n name',
      type: 'file',
      size: 5,
      links: 1,
      mtimeNanos: mtimeNs,
    });
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

  it('in large directories all come', async () => {
    const { agent, directory } = await localAgent();
    await mkdir(path.join(directory, 'many'));
    const names = Array.from({ length: 3000 }, (_, index) => `${'n'.repeat(100)}${index}`);
    for (const name of names) await writeFile(path.join(directory, 'many', name), '');
    let count = 0;
    for await (const entry of agent.list(path.join(directory, 'many'))) count += Number(entry.type === 'file');
    expect(count).toBe(3000);
  });
});

describe('files', () => {
  it('keep their holes and the fractions of their seconds both ways', async () => {
    const { agent, directory } = await localAgent();
    const at = (name: string): string => path.join(directory, name);
    await writeFile(at('source'), 'start');
    await truncate(at('source'), 2 ** 28);
    await utimes(at('source'), 1_700_000_000.25, 1_700_000_000.25);
    await agent.putFile(at('source'), at('guest'), { signal });
    await agent.getFile(at('guest'), at('back'), signal);
    for (const name of ['guest', 'back']) {
      const { size, blocks, mtimeMs } = await stat(at(name));
      expect([name, size, mtimeMs]).toEqual([name, 2 ** 28, 1_700_000_000_250]);
      expect(blocks * 512).toBeLessThan(2 ** 21);
    }
  });
});

describe('trees', () => {
  it('keep holes, and one file with two names is one file, both ways', async () => {
    const { agent, directory } = await localAgent();
    const [source, guest, home] = ['src', 'guest', 'home'].map((name) => path.join(directory, name)) as [
      string,
      string,
      string,
    ];
    await mkdir(path.join(source, 'd'), { recursive: true });
    await writeFile(path.join(source, 'd/one'), 'same');
    await link(path.join(source, 'd/one'), path.join(source, 'two'));
    await writeFile(path.join(source, 'sparse'), 'start');
    await truncate(path.join(source, 'sparse'), 2 ** 28);
    await utimes(path.join(source, 'd/one'), 1_700_000_000.25, 1_700_000_000.25);
    await agent.putTree(source, guest, { signal });
    const seen: TreeProgress[] = [];
    const onProgress = (progress: TreeProgress): void => void seen.push(progress);
    const selection = { directory: guest, include: [], exclude: [] };
    const { files } = await agent.getTree(selection, home, signal, { onProgress });
    expect(files).toBe(3);
    for (const copy of [guest, home]) {
      expect((await readdir(copy, { recursive: true })).sort()).toEqual(['d', 'd/one', 'sparse', 'two']);
      const [one, two, sparse] = await Promise.all(
        ['d/one', 'two', 'sparse'].map((name) => stat(path.join(copy, name))),
      );
      expect([copy, one?.ino]).toEqual([copy, two?.ino]);
      expect([copy, one?.mtimeMs]).toEqual([copy, 1_700_000_000_250]);
      expect([copy, sparse?.size]).toEqual([copy, 2 ** 28]);
      expect((sparse?.blocks ?? 0) * 512).toBeLessThan(2 ** 21);
    }
    const last = seen.at(-1);
    expect(last?.totalEntries).toBe(4);
    expect(last?.entries).toBe(4);
    expect(last?.bytes).toBeLessThan(2 ** 21);
  });
});

describe('sockets', () => {
  it('of the guest are reached by TCP and by path', async () => {
    const { agent, directory } = await localAgent();
    const file = path.join(directory, 'echo');
    for (const place of [{ port: 0, host: '127.0.0.1' }, { path: file }]) {
      const listener = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket)).listen(place);
      await once(listener, 'listening');
      onTestFinished(() => void listener.close());
      const address = listener.address();
      const target =
        typeof address === 'object' && address !== null
          ? ({ kind: 'tcp', port: address.port } as const)
          : ({ kind: 'unix', path: file } as const);
      const stream = await agent.forward(target, signal);
      const sent = Buffer.alloc(1_000_000, 'x');
      stream.end(sent);
      const parts: Uint8Array[] = [];
      for await (const part of stream as AsyncIterable<Uint8Array>) parts.push(part);
      expect(Buffer.concat(parts).equals(sent)).toBe(true);
    }
    await expect(agent.forward({ kind: 'unix', path: path.join(directory, 'no') }, signal)).rejects.toMatchObject({
      blame: 'user',
    });
  });
});

describe('addresses', () => {
  it('are those that others could reach', async () => {
    const { agent } = await localAgent();
    for (const address of await agent.resolveAddresses()) expect(address).not.toMatch(/^127\.|^::1$|^fe80/);
  });
});
