import { chmod, chown, mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { firstUser, ownUserGroups, QEMU_GROUP, withFreeUser } from '../../../src/providers/qemu/own-user.js';
import { openStore } from '../../../src/store/store.js';
import { processes, recordNamed } from '../../store/vm-record.js';
import { temporaryDirectory } from '../../support/temporary-directory.js';

const isRoot = process.geteuid?.() === 0;

async function emptyHost() {
  const store = await openStore(path.join(await temporaryDirectory(), 'home'), processes);
  const first = firstUser(store.paths.home);
  /** A VM with a record of this text. */
  const vm = async (name: string, text: string): Promise<void> => {
    const { directory, record } = store.vms.paths(name);
    await mkdir(directory);
    await writeFile(record, text);
  };
  const free = (work = (uid: number): Promise<number> => Promise.resolve(uid)): Promise<number> =>
    withFreeUser({ store, processes }, [44], AbortSignal.timeout(20_000), ({ uid }) => work(uid));
  return { store, first, vm, free };
}

describe('the user of a VM', () => {
  it('is none that another VM of the store has, and never the one that is for trying', async () => {
    const { store, first, free } = await emptyHost();
    expect(await free()).toBe(first + 1);
    await store.vms.create(recordNamed('vm-1', { vmmUid: first + 1 }));
    await store.vms.create(recordNamed('vm-3', { vmmUid: first + 3 }));
    expect(await free()).toBe(first + 2);
    await store.vms.remove('vm-1');
    expect(await free()).toBe(first + 1);
  });

  it('is none of a VM whose record we cannot read: of a newer vm-runner, or damaged', async () => {
    const { first, vm, free } = await emptyHost();
    await vm('vm-newer', JSON.stringify({ version: 2, unheardOf: {}, vmmUid: first + 1 }));
    await vm('vm-cut', `{"version": 1, "vmmUid": ${first + 2}, "netw`);
    await vm('vm-empty', '');
    // What a job is called is no number of a user.
    await vm('vm-sly', JSON.stringify({ version: 2, job: `"vmmUid": ${first + 3}` }));
    expect(await free()).toBe(first + 3);
  });

  it('is given to one VM at a time, and the lock goes with the work, also when that fails', async () => {
    const { store, free } = await emptyHost();
    const given = Array.from({ length: 8 }, (_, at) =>
      free(async (uid) => {
        await store.vms.create(recordNamed(`vm-${at}`, { vmmUid: uid }));
        return uid;
      }),
    );
    expect(new Set(await Promise.all(given)).size).toBe(8);
    await expect(free(() => Promise.reject(new Error('no room')))).rejects.toThrow('no room');
    expect(await readdir(store.paths.locks)).not.toContain('vmm-users');
  });

  it('is far from those of accounts, and of one range for each store', async () => {
    const [one, two] = [await emptyHost(), await emptyHost()];
    for (const { first } of [one, two]) {
      expect(first).toBeGreaterThan(QEMU_GROUP);
      expect(first).toBeLessThan(2 ** 31);
      expect((first - QEMU_GROUP) % 10_000).toBe(0);
    }
    expect(firstUser(one.store.paths.home)).toBe(one.first);
  });
});

describe.runIf(isRoot)('a QEMU with a user of its own (needs root)', () => {
  /** A store and a program that everybody may enter, as far as the test's own directory lets. */
  async function place(modeOfHome: number, modeOfPrograms: number) {
    const directory = await temporaryDirectory();
    await chmod(directory, 0o711);
    for (const [name, mode] of [
      ['store', modeOfHome],
      ['bin', modeOfPrograms],
    ] as const) {
      await mkdir(path.join(directory, name));
      await chmod(path.join(directory, name), mode);
    }
    await mkdir(path.join(directory, 'store/home'), { mode: 0o700 });
    const options = { acceleration: 'tcg' as const, setpriv: true };
    return {
      directory,
      ...options,
      home: path.join(directory, 'store/home'),
      program: path.join(directory, 'bin/qemu'),
    };
  }

  it('needs no group where it emulates', async () => {
    expect(ownUserGroups(await place(0o711, 0o755))).toEqual({ groups: [] });
  });

  it.each([
    ['everybody may open', 0o666, 44, { groups: [] }],
    ['its group may open', 0o660, 44, { groups: [44] }],
    ['only root may open', 0o600, 44, expect.stringMatching(/^only root may open .*kvm$/)],
    // In root's own group it would have more than the device.
    ['the group of root may open', 0o660, 0, expect.stringMatching(/^only root may open .*kvm$/)],
  ])('comes through to a KVM device that %s, or says why not', async (_who, mode, gid, groups) => {
    const open = await place(0o711, 0o755);
    const kvmDevice = path.join(open.directory, 'kvm');
    await writeFile(kvmDevice, '');
    await chown(kvmDevice, 0, gid);
    await chmod(kvmDevice, mode);
    expect(ownUserGroups({ ...open, acceleration: 'kvm', kvmDevice })).toEqual(groups);
  });

  it('cannot be, and it is said why, without setpriv or where it could not come through', async () => {
    const closedStore = await place(0o700, 0o755);
    expect(ownUserGroups(closedStore)).toBe(`other users cannot enter ${path.dirname(closedStore.home)}`);
    const closedPrograms = await place(0o711, 0o750);
    expect(ownUserGroups(closedPrograms)).toBe(`other users cannot enter ${path.dirname(closedPrograms.program)}`);
    expect(ownUserGroups({ ...closedStore, setpriv: false })).toBe('setpriv is not installed');
  });
});

it('is another user for root only', async () => {
  const home = await temporaryDirectory();
  const found = ownUserGroups({ home, program: '/bin/true', acceleration: 'tcg', setpriv: true });
  expect(found === undefined).toBe(!isRoot);
});
