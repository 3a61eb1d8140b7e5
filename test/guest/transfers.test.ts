import { chmod, mkdir, readdir, readFile, readlink, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { localAgent } from '../support/agent.js';

// Files and trees through both houses: our client against the shipped binary of the agent.

const signal = AbortSignal.timeout(50_000);

describe('files', () => {
  it('go in and come out as they are', async () => {
    const { agent, directory } = await localAgent();
    const at = (name: string): string => path.join(directory, name);
    await writeFile(at('source'), Buffer.from(Array.from({ length: 700_001 }, (_, i) => i % 253)));
    await chmod(at('source'), 0o751);
    await agent.putFile(at('source'), at('new/dir/target'), { signal });
    await agent.getFile(at('new/dir/target'), at('back'), signal);
    expect(await readFile(at('back'))).toEqual(await readFile(at('source')));
    const [back, source] = await Promise.all([stat(at('back')), stat(at('source'))]);
    expect([back.mode, Math.floor(back.mtimeMs / 1000)]).toEqual([source.mode, Math.floor(source.mtimeMs / 1000)]);
  });

  it('may be empty', async () => {
    const { agent, directory } = await localAgent();
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
    const { agent, directory } = await localAgent();
    await mkdir(path.join(directory, 'home'));
    await expect(agent.getFile(source, path.join(directory, 'home/x'), signal)).rejects.toMatchObject({ code });
    expect(await readdir(path.join(directory, 'home'))).toEqual([]);
  });
});

describe('trees', () => {
  async function tree(directory: string): Promise<void> {
    await mkdir(path.join(directory, 'src/.git/deep'), { recursive: true });
    await mkdir(path.join(directory, 'src/empty'));
    await writeFile(path.join(directory, 'src/main.c'), 'int main;');
    await writeFile(path.join(directory, 'src/.git/deep/x.log'), 'log');
    await writeFile(path.join(directory, 'src/run'), '#!/bin/sh\n', { mode: 0o755 });
    await symlink('main.c', path.join(directory, 'src/link'));
  }

  it('go in and come out as they are', async () => {
    const { agent, directory } = await localAgent();
    await tree(directory);
    const [source, guest, home] = ['src', 'guest/tree', 'home'].map((name) => path.join(directory, name)) as [
      string,
      string,
      string,
    ];
    await agent.putTree(source, guest, { signal });
    const result = await agent.getTree({ directory: guest, include: [], exclude: [] }, home, signal);
    expect(result.files).toBe(3);
    expect((await readdir(home, { recursive: true })).sort()).toEqual(
      (await readdir(source, { recursive: true })).sort(),
    );
    expect(await readlink(path.join(home, 'link'))).toBe('main.c');
    expect((await stat(path.join(home, 'run'))).mode & 0o777).toBe(0o755);
    expect(await readFile(path.join(home, '.git/deep/x.log'), 'utf8')).toBe('log');
  });

  it.each([
    [['**'], [], ['.git/deep/x.log', 'link', 'main.c', 'run']],
    [['*.c'], [], ['main.c']],
    [['**/*.log'], [], ['.git/deep/x.log']],
    [['.git'], [], ['.git/deep/x.log']],
    [['**'], ['.git'], ['link', 'main.c', 'run']],
    [['{main.c,run}', 'no-such'], [], ['main.c', 'run']],
    [['[l-m]*'], [], ['link', 'main.c']],
    [['nothing/**'], [], []],
  ])('are selected by %j without %j', async (include, exclude, expected) => {
    const { agent, directory } = await localAgent();
    await tree(directory);
    const home = path.join(directory, 'home');
    await agent.getTree({ directory: path.join(directory, 'src'), include, exclude }, home, signal);
    const names = await readdir(home, { recursive: true, withFileTypes: true });
    const files = names
      .filter((entry) => !entry.isDirectory())
      .map((entry) => path.relative(home, path.join(entry.parentPath, entry.name)));
    expect(files.sort()).toEqual(expected);
  });

  it('that are not there are refused', async () => {
    const { agent, directory } = await localAgent();
    await expect(
      agent.getTree({ directory: '/no/such', include: [], exclude: [] }, path.join(directory, 'x'), signal),
    ).rejects.toMatchObject({
      code: 'guest-file-missing',
    });
  });

  it('with a bad glob are refused', async () => {
    const { agent, directory } = await localAgent();
    await expect(
      agent.getTree({ directory, include: ['[a'], exclude: [] }, path.join(directory, 'x'), signal),
    ).rejects.toMatchObject({
      code: 'guest-request-refused',
    });
  });

  it('may hold ten thousand files', async () => {
    const { agent, directory } = await localAgent();
    await mkdir(path.join(directory, 'many'));
    await Promise.all(
      Array.from({ length: 10_000 }, (_, i) => writeFile(path.join(directory, 'many', `f${i}`), `${i}`)),
    );
    await agent.putTree(path.join(directory, 'many'), path.join(directory, 'guest'), { signal });
    expect(
      (
        await agent.getTree(
          { directory: path.join(directory, 'guest'), include: [], exclude: [] },
          path.join(directory, 'home'),
          signal,
        )
      ).files,
    ).toBe(10_000);
  });
});
