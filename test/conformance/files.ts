import { randomBytes } from 'node:crypto';
import { chmod, link, mkdir, open, readdir, readFile, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import type { GuestAgent } from '../../src/guest/agent.js';
import { temporaryDirectory } from '../support/temporary-directory.js';
import { connectAgent, peerDirectory, shell, type LazyPeer } from './peer.js';

// Files and trees of vmrunner.agent.v1, whatever the way to the agent.

const MIB = 2 ** 20;

/** Runs the suite against a peer. */
export function fileConformance(peer: LazyPeer): void {
  const connect = (): Promise<GuestAgent> => connectAgent(peer());
  const signal = (): AbortSignal => AbortSignal.timeout(60_000);

  describe('files', () => {
    it('go in and come out with their bytes, mode and time', async () => {
      const [agent, host] = [await connect(), await temporaryDirectory()];
      const guest = await peerDirectory(agent);
      const [source, back] = [path.join(host, 'a'), path.join(host, 'b')];
      const content = randomBytes(3 * MIB + 17);
      await writeFile(source, content);
      await chmod(source, 0o640);
      await utimes(source, 1_000_000_000.25, 1_000_000_000.25);
      await agent.putFile(source, `${guest}/new/dir/file`, { signal: signal(), owner: '12345:54321' });
      expect(await agent.stat(`${guest}/new/dir/file`)).toMatchObject({
        type: 'file',
        size: content.length,
        mode: 0o640,
        uid: 12345,
        gid: 54321,
        mtimeNanos: 1_000_000_000_250_000_000n,
      });
      await agent.getFile(`${guest}/new/dir/file`, back, signal());
      expect((await readFile(back)).equals(content)).toBe(true);
      const copied = await stat(back);
      expect([copied.mode & 0o777, copied.mtimeMs]).toEqual([0o640, 1_000_000_000_250]);
    });

    it('keep their holes both ways', async () => {
      const [agent, host] = [await connect(), await temporaryDirectory()];
      const guest = await peerDirectory(agent);
      const [source, back] = [path.join(host, 'sparse'), path.join(host, 'back')];
      const size = 64 * MIB;
      const file = await open(source, 'w');
      await file.write(Buffer.from('start'), 0, 5, 0);
      await file.write(Buffer.from('middle'), 0, 6, 32 * MIB);
      await file.truncate(size);
      await file.close();
      await agent.putFile(source, `${guest}/sparse`, { signal: signal() });
      const info = await agent.stat(`${guest}/sparse`);
      expect(info.size).toBe(size);
      expect(info.diskBytes).toBeLessThan(MIB);
      await agent.getFile(`${guest}/sparse`, back, signal());
      const copied = await stat(back);
      expect([copied.size, copied.blocks * 512 < MIB]).toEqual([size, true]);
      expect((await readFile(back)).equals(await readFile(source))).toBe(true);
    });

    it('are refused with a sentence where there are none', async () => {
      const [agent, host] = [await connect(), await temporaryDirectory()];
      const guest = await peerDirectory(agent);
      const source = path.join(host, 'a');
      await writeFile(source, 'new');
      await expect(agent.getFile(`${guest}/none`, path.join(host, 'b'), signal())).rejects.toMatchObject({
        code: 'guest-file-missing',
        blame: 'user',
      });
      await expect(agent.getFile(guest, path.join(host, 'b'), signal())).rejects.toMatchObject({
        code: 'guest-is-directory',
      });
      await expect(agent.putFile(source, guest, { signal: signal() })).rejects.toMatchObject({
        code: 'guest-is-directory',
      });
      await expect(agent.putFile(source, '/proc/none/file', { signal: signal() })).rejects.toMatchObject({
        blame: 'user',
      });
      expect(await shell(agent, `ls -A ${guest}`)).toBe('');
    });

    it('are listed, made and removed', async () => {
      const agent = await connect();
      const guest = await peerDirectory(agent);
      expect(await agent.makeDirectory(`${guest}/a/b`, { parents: true, mode: 0o700 })).toBe(true);
      expect(await agent.makeDirectory(`${guest}/a/b`, { parents: true })).toBe(false);
      await expect(agent.makeDirectory(`${guest}/a/b`)).rejects.toThrow(/already/);
      await shell(agent, `cd ${guest} && echo x > file && ln -s file link && mkfifo pipe`);
      const entries = new Map<string, string>();
      for await (const entry of agent.list(guest)) entries.set(entry.name, entry.type);
      expect(Object.fromEntries(entries)).toEqual({ a: 'directory', file: 'file', link: 'symlink', pipe: 'fifo' });
      expect(await agent.stat(`${guest}/link`)).toMatchObject({ type: 'symlink', linkTarget: 'file' });
      expect(await agent.stat(`${guest}/link`, { follow: true })).toMatchObject({ type: 'file', size: 2 });
      await expect(agent.remove(`${guest}/a`)).rejects.toThrow(/not empty/);
      expect(await agent.remove(`${guest}/a`, { recursive: true })).toBe(2);
      expect(await agent.remove(`${guest}/link`)).toBe(1);
      expect(await agent.remove(`${guest}/a`, { ignoreMissing: true })).toBe(0);
      await expect(agent.remove(`${guest}/a`)).rejects.toMatchObject({ code: 'guest-file-missing' });
      expect(await shell(agent, `ls ${guest}`)).toBe('file\npipe\n');
    });
  });

  describe('trees', () => {
    it('go in and come out with links, modes and times', async () => {
      const [agent, host] = [await connect(), await temporaryDirectory()];
      const guest = await peerDirectory(agent);
      const [source, back] = [path.join(host, 'source'), path.join(host, 'back')];
      const long = `${'d'.repeat(120)}/${'f'.repeat(130)}`;
      await mkdir(path.join(source, path.dirname(long)), { recursive: true });
      await writeFile(path.join(source, long), randomBytes(100_000));
      await writeFile(path.join(source, 'run'), '#!/bin/sh\n');
      await chmod(path.join(source, 'run'), 0o755);
      await link(path.join(source, 'run'), path.join(source, 'same'));
      await symlink('run', path.join(source, 'link'));
      await mkdir(path.join(source, 'empty'));
      await agent.putTree(source, `${guest}/tree`, { signal: signal() });
      expect(await agent.stat(`${guest}/tree/same`)).toMatchObject({ links: 2, mode: 0o755 });
      const steps: number[] = [];
      const found = await agent.getTree({ directory: `${guest}/tree`, include: [], exclude: [] }, back, signal(), {
        onProgress: ({ totalEntries }) => steps.push(totalEntries),
      });
      expect(found).toMatchObject({ skippedLinks: [], skippedNames: [] });
      expect(Math.max(...steps)).toBe(6);
      expect((await readFile(path.join(back, long))).equals(await readFile(path.join(source, long)))).toBe(true);
      const [run, same] = [await stat(path.join(back, 'run')), await stat(path.join(back, 'same'))];
      expect([run.mode & 0o777, run.ino === same.ino, run.nlink]).toEqual([0o755, true, 2]);
      expect(Math.abs(run.mtimeMs - (await stat(path.join(source, 'run'))).mtimeMs)).toBeLessThan(1);
      expect(await readFile(path.join(back, 'link'), 'utf8')).toBe('#!/bin/sh\n');
      expect((await stat(path.join(back, 'empty'))).isDirectory()).toBe(true);
    });

    it('are chosen by globs in the guest', async () => {
      const [agent, host] = [await connect(), await temporaryDirectory()];
      const guest = await peerDirectory(agent);
      const names = ['out/a.xml', 'out/deep/b.xml', 'out/c.txt', 'out/tmp/d.xml', 'logs/e.log', '.hidden'];
      await shell(agent, `cd ${guest} && for n in ${names.join(' ')}; do mkdir -p $(dirname $n); echo $n > $n; done`);
      const fetch = async (include: string[], exclude: string[] = []): Promise<string[]> => {
        const target = path.join(host, randomBytes(4).toString('hex'));
        await mkdir(target);
        await agent.getTree({ directory: guest, include, exclude }, target, signal());
        const entries = await readdir(target, { recursive: true, withFileTypes: true });
        const files = entries.filter((entry) => entry.isFile());
        return files.map((entry) => path.relative(target, path.join(entry.parentPath, entry.name))).sort();
      };
      expect(await fetch(['out/**/*.xml'])).toEqual(['out/a.xml', 'out/deep/b.xml', 'out/tmp/d.xml']);
      expect(await fetch(['out/**/*.{xml,txt}', '!**/tmp'])).toEqual(['out/a.xml', 'out/c.txt', 'out/deep/b.xml']);
      expect(await fetch(['out'], ['**/*.xml'])).toEqual(['out/c.txt']);
      expect(await fetch(['*'])).toEqual([...names].sort());
      await expect(fetch(['[a'])).rejects.toMatchObject({ code: 'guest-request-refused' });
    });
  });
}
