import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { firstUser, QEMU_GROUP } from '../../../src/providers/qemu/own-user.js';
import { filesOfDisk, giveAway, letOpenMemory, letReach, takeBack } from '../../../src/providers/qemu/reach.js';
import { openStore } from '../../../src/store/store.js';
import { processes } from '../../store/vm-record.js';
import { temporaryDirectory } from '../../support/temporary-directory.js';

const isRoot = process.geteuid?.() === 0;
const mode = (file: string): number => statSync(file).mode & 0o7777;
const owner = (file: string): readonly number[] => [statSync(file).uid, statSync(file).gid];

describe('the files of a disk', () => {
  it('are its descriptor and what that puts together, each once', async () => {
    const directory = await temporaryDirectory();
    const descriptor = path.join(directory, 'root.vmdk');
    const lines = ['# Extent description', 'RW 8 FLAT "meta" 0', 'RW 8 FLAT "../layers/a/data" 0', 'RW 8 ZERO'];
    await writeFile(descriptor, [...lines, 'RW 16 FLAT "../layers/a/data" 8', ''].join('\n'));
    const data = path.join(path.dirname(directory), 'layers/a/data');
    expect(filesOfDisk(descriptor)).toEqual([descriptor, path.join(directory, 'meta'), data]);
  });

  it('cannot be told of a disk that is not there', () => {
    expect(() => filesOfDisk('/no/such.vmdk')).toThrow('/no/such.vmdk');
  });
});

describe.runIf(isRoot)('what a QEMU with a user of its own can reach (needs root)', () => {
  /** A store that was made by an older vm-runner, closed to everybody. */
  async function closedStore() {
    const directory = await temporaryDirectory();
    await chmod(directory, 0o711);
    const { paths } = await openStore(path.join(directory, 'home'), processes);
    const layer = path.join(paths.layers, 'a');
    await mkdir(layer, { mode: 0o700 });
    const [shared, other] = [path.join(layer, 'data'), path.join(layer, 'index')];
    for (const file of [shared, other]) await writeFile(file, 'x', { mode: 0o600 });
    const user = { uid: firstUser(paths.home) + 1, gid: QEMU_GROUP, groups: [] };
    const can = (who: { readonly uid: number; readonly gid: number }, ...argv: readonly string[]): boolean => {
      try {
        const as = [`--reuid=${who.uid}`, `--regid=${who.gid}`, '--clear-groups', '--'];
        execFileSync('setpriv', [...as, ...argv], { stdio: 'ignore' });
        return true;
      } catch {
        return false;
      }
    };
    return { paths, layer, shared, other, user, can };
  }

  it('is the files that it is let, to read, and nothing can be listed', async () => {
    const { paths, layer, shared, other, user, can } = await closedStore();
    expect(can(user, 'cat', shared)).toBe(false);
    letReach(paths, [shared, path.join(layer, 'not-there')]);
    expect(can(user, 'cat', shared)).toBe(true);
    expect(can(user, 'tee', shared)).toBe(false);
    expect(can(user, 'cat', other)).toBe(false);
    for (const directory of [paths.home, paths.layers, layer, paths.vms])
      expect(can(user, 'ls', directory)).toBe(false);
    expect([mode(paths.home), owner(paths.home)]).toEqual([0o710, [0, QEMU_GROUP]]);
    // Of the rest no more than has to be passed.
    expect([mode(paths.layers), mode(layer), mode(paths.vms), mode(paths.logs)]).toEqual([0o711, 0o711, 0o711, 0o700]);
    // Whoever is not of that group does not even come in.
    expect(can({ uid: user.uid, gid: 65_534 }, 'cat', shared)).toBe(false);
  });

  it('is the memory of a template for its group alone, to write only where an older QEMU needs that', async () => {
    const { shared: memory } = await closedStore();
    letOpenMemory(memory, 'write');
    expect([mode(memory), owner(memory)]).toEqual([0o660, [0, QEMU_GROUP]]);
    letOpenMemory(memory, 'read');
    expect([mode(memory), owner(memory)]).toEqual([0o440, [0, QEMU_GROUP]]);
  });

  it('is given to it, and taken back; what is not there is left out', async () => {
    const { layer, shared, user } = await closedStore();
    const files = [layer, shared, path.join(layer, 'not-there')];
    giveAway(user, files);
    expect([owner(layer), owner(shared)]).toEqual([
      [user.uid, QEMU_GROUP],
      [user.uid, QEMU_GROUP],
    ]);
    takeBack(user, files);
    expect([owner(layer), owner(shared)]).toEqual([
      [0, 0],
      [0, 0],
    ]);
    giveAway(undefined, files);
    expect(owner(shared)).toEqual([0, 0]);
  });
});
