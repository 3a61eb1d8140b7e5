import { chmod, lstat, mkdir, readdir, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { VmRunnerError } from '../../src/core/errors.js';
import { unpackTree } from '../../src/guest/unpack.js';
import { Dice, hostileArchive, inPieces } from '../support/hostile-archive.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

const ARCHIVES = 2000;
const LIMITS = { entries: 20, bytes: 2 ** 22 };
/** Beyond this it hangs. */
const PATIENCE_MS = 10_000;

/** A directory of the host that nothing may touch, and beside it one to unpack into, with links of the host in it already. */
async function scene(outside: string): Promise<string> {
  await mkdir(path.join(outside, 'canary/inner'), { recursive: true });
  await writeFile(path.join(outside, 'canary/secret'), 'of the host', { mode: 0o640 });
  const home = path.join(outside, 'home');
  await mkdir(path.join(home, 'd'), { recursive: true });
  await symlink('../canary', path.join(home, 'out'));
  await symlink('../canary/secret', path.join(home, 'file'));
  await symlink('../canary/new', path.join(home, 'dangling'));
  await symlink('loop', path.join(home, 'loop'));
  await symlink('../../canary', path.join(home, 'd/e'));
  return home;
}

/** All that can be changed of the canary from outside. */
async function stateOf(directory: string): Promise<string> {
  const names = ['.', ...(await readdir(directory, { recursive: true })).sort()];
  const states = names.map(async (name) => {
    const { mode, size, nlink, mtimeMs, uid, ino } = await lstat(path.join(directory, name));
    return [name, mode, size, nlink, mtimeMs, uid, ino].join(' ');
  });
  return [...(await Promise.all(states)), await readFile(path.join(directory, 'secret'), 'utf8')].join('\n');
}

/** Links below a directory that lead out of it, but for those that were there. */
async function escapes(home: string): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(home, { recursive: true, withFileTypes: true })) {
    if (!entry.isSymbolicLink()) continue;
    const at = path.join(entry.parentPath, entry.name);
    const end = await realpath(at).catch(() => home);
    if (end !== home && !end.startsWith(`${home}/`)) found.push(path.relative(home, at));
  }
  return found;
}

describe('unpackTree', () => {
  it(`changes nothing outside its directory whatever ${ARCHIVES} hostile archives hold, and always ends`, async () => {
    const outside = await temporaryDirectory();
    let accepted = 0;
    let refused = 0;
    for (let seed = 1; seed <= ARCHIVES; seed += 1) {
      const home = await scene(outside);
      const before = await stateOf(path.join(outside, 'canary'));
      const dice = new Dice(seed);
      const archive = hostileArchive(dice);
      const outcome = await Promise.race([
        unpackTree(inPieces(archive, dice), home, LIMITS).then(
          () => 'accepted' as const,
          (error: unknown) => error,
        ),
        new Promise<'hung'>((resolve) => setTimeout(() => resolve('hung'), PATIENCE_MS).unref()),
      ]);
      expect(outcome, `seed ${seed}`).not.toBe('hung');
      if (outcome === 'accepted') accepted += 1;
      else {
        refused += 1;
        expect(outcome, `seed ${seed}`).toBeInstanceOf(VmRunnerError);
        expect((outcome as VmRunnerError).code, `seed ${seed}: ${String(outcome)}`).toBe('guest-untrusted-data');
      }
      expect(await stateOf(path.join(outside, 'canary')), `seed ${seed}`).toBe(before);
      expect((await readdir(outside)).sort(), `seed ${seed}`).toEqual(['canary', 'home']);
      const old = ['d/e', 'file', 'out'];
      expect(
        (await escapes(home)).filter((name) => !old.includes(name)),
        `seed ${seed}`,
      ).toEqual([]);
      const names = await readdir(home, { recursive: true });
      expect(
        names.filter((name) => name.endsWith('.tmp')),
        `seed ${seed}`,
      ).toEqual([]);
      await forceRemove(home);
    }
    // A generator that is always refused, or never, proves nothing.
    expect(accepted).toBeGreaterThan(ARCHIVES / 20);
    expect(refused).toBeGreaterThan(ARCHIVES / 20);
  }, 300_000);
});

async function forceRemove(directory: string): Promise<void> {
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (entry.isDirectory()) await chmod(path.join(entry.parentPath, entry.name), 0o700);
  }
  await rm(directory, { recursive: true, force: true });
}
