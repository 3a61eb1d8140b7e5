import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { makeCgroups, ranOutOfMemory, removeCgroups } from '../../../src/providers/qemu/cgroup.js';
import { temporaryDirectory } from '../../support/temporary-directory.js';

const LIMITS = { memoryBytes: 2 ** 30, tasks: 512 };
/** Of version 2: what the kernel lets groups below have, and what they have. */
const CONTROLLERS = 'cgroup.controllers';
const SUBTREE = 'cgroup.subtree_control';

/** A host whose control groups are plain files: what is written to them stays there, and nothing obeys. */
async function aHost(mounts: readonly (readonly [string, string, string?])[], own = '') {
  const root = await temporaryDirectory();
  const lines = mounts.map(
    ([name, type, from = '/']) =>
      `30 20 0:26 ${from} ${path.join(root, name)} rw,nosuid - ${type} cgroup rw,${type === 'cgroup' ? name : 'nsdelegate'}`,
  );
  await writeFile(path.join(root, 'mountinfo'), ['22 1 8:1 / / rw - ext4 /dev/sda1 rw', ...lines, ''].join('\n'));
  await writeFile(path.join(root, 'cgroup'), own);
  const at = (...names: string[]): string => path.join(root, ...names);
  const put = async (text: string, ...names: string[]): Promise<void> => {
    await mkdir(path.dirname(at(...names)), { recursive: true });
    await writeFile(at(...names), text);
  };
  const read = (...names: string[]): Promise<string> => readFile(at(...names), 'utf8');
  const make = (): readonly string[] => makeCgroups('vm-1.a1', LIMITS, root);
  return { at, put, read, make };
}

describe('control groups of version 2', () => {
  it('are below the root, where limits are let through on the way down, and no process is but in the last one', async () => {
    const { at, put, read, make } = await aHost([['unified', 'cgroup2']]);
    await put('cpu io memory pids\n', 'unified', CONTROLLERS);
    await put('cpu\n', 'unified', SUBTREE);
    await put('\n', 'unified/vm-runner', SUBTREE);
    expect(make()).toEqual([at('unified/vm-runner/vm-1.a1')]);
    expect(await read('unified', SUBTREE)).toBe('+memory +pids');
    expect(await read('unified/vm-runner', SUBTREE)).toBe('+memory +pids');
    expect(await read('unified/vm-runner/vm-1.a1/memory.max')).toBe(String(2 ** 30));
    expect(await read('unified/vm-runner/vm-1.a1/pids.max')).toBe('512');
    // A group with groups below it that have limits must have no processes: we never move one into it.
    expect((await readdir(at('unified/vm-runner'))).sort()).toEqual([SUBTREE, 'vm-1.a1']);
  });

  it('take what is let through already as it is', async () => {
    const { put, read, make } = await aHost([['unified', 'cgroup2']]);
    await put('cpu memory pids\n', 'unified', CONTROLLERS);
    await put('memory cpu pids\n', 'unified', SUBTREE);
    await put('pids memory\n', 'unified/vm-runner', SUBTREE);
    expect(make()).toHaveLength(1);
    expect(await read('unified', SUBTREE)).toBe('memory cpu pids\n');
    expect(await read('unified/vm-runner', SUBTREE)).toBe('pids memory\n');
  });

  it('are not made where limits cannot be let through, as in a container with processes in its topmost group', async () => {
    const { at, put, make } = await aHost([['unified', 'cgroup2']]);
    await put('memory pids\n', 'unified', CONTROLLERS);
    // Neither root can write to a directory; the kernel says EBUSY.
    await mkdir(at('unified', SUBTREE));
    expect(make()).toEqual([]);
    expect((await readdir(at('unified'))).sort()).toEqual([CONTROLLERS, SUBTREE]);
  });

  it('are taken back when a limit cannot be set', async () => {
    const { at, put, make } = await aHost([['unified', 'cgroup2']]);
    await put('memory pids\n', 'unified', CONTROLLERS);
    await put('memory pids\n', 'unified', SUBTREE);
    await mkdir(at('unified/vm-runner/vm-1.a1/memory.max'), { recursive: true });
    expect(make()).toEqual([]);
  });
});

describe('control groups of version 1', () => {
  const HYBRID = [
    ['unified', 'cgroup2'],
    ['memory', 'cgroup', '/docker/x'],
    ['cpu,pids', 'cgroup'],
  ] as const;

  it('count where version 2 has no say in memory, below our own, so that its limits hold as well', async () => {
    const own = '9:memory:/docker/x/job\n7:cpu,pids:/runner\n0::/docker/x\n';
    const { at, put, read, make } = await aHost(HYBRID, own);
    await put('\n', 'unified', CONTROLLERS);
    await mkdir(at('memory/job'), { recursive: true });
    await mkdir(at('cpu,pids/runner'), { recursive: true });
    expect(make()).toEqual([at('memory/job/vm-runner/vm-1.a1'), at('cpu,pids/runner/vm-runner/vm-1.a1')]);
    expect(await read('memory/job/vm-runner/vm-1.a1/memory.limit_in_bytes')).toBe(String(2 ** 30));
    expect(await read('cpu,pids/runner/vm-runner/vm-1.a1/pids.max')).toBe('512');
    expect(await readdir(at('unified'))).toEqual([CONTROLLERS]);
  });

  it('are those that there are: one that cannot be made does not keep the others', async () => {
    const { at, make } = await aHost(HYBRID, '9:memory:/docker/x/job\n7:cpu,pids:/\n');
    await mkdir(at('cpu,pids'), { recursive: true });
    expect(make()).toEqual([at('cpu,pids/vm-runner/vm-1.a1')]);
  });
});

it('a host without control groups has none', async () => {
  expect((await aHost([])).make()).toEqual([]);
});

describe('control groups of a VM that has ended', () => {
  it('go, also when they are gone already, and nothing goes that is none of ours', async () => {
    const root = await temporaryDirectory();
    const [ours, foreign] = [path.join(root, 'vm-runner/vm-1'), path.join(root, 'system.slice/sshd')];
    for (const directory of [ours, foreign]) await mkdir(directory, { recursive: true });
    await removeCgroups([ours, foreign, path.join(root, 'vm-runner/vm-2')]);
    expect(await readdir(path.join(root, 'vm-runner'))).toEqual([]);
    expect(await readdir(path.join(root, 'system.slice'))).toEqual(['sshd']);
  });

  it('are told of when something still runs there', async () => {
    const busy = path.join(await temporaryDirectory(), 'vm-runner/vm-1');
    await mkdir(path.join(busy, 'child'), { recursive: true });
    await expect(removeCgroups([busy])).rejects.toMatchObject({ code: 'host-file-failed' });
  });

  it('say whether the kernel killed something for its memory, in both versions', async () => {
    const [two, one, none] = [await temporaryDirectory(), await temporaryDirectory(), await temporaryDirectory()];
    await writeFile(path.join(two, 'memory.events'), 'low 0\nmax 7\noom 1\noom_kill 1\noom_group_kill 0\n');
    await writeFile(path.join(one, 'memory.oom_control'), 'oom_kill_disable 0\nunder_oom 0\noom_kill 2\n');
    await writeFile(path.join(none, 'memory.events'), 'oom 3\noom_kill 0\n');
    expect(ranOutOfMemory([none, two])).toBe(true);
    expect(ranOutOfMemory([one])).toBe(true);
    expect(ranOutOfMemory([none, path.join(none, 'gone')])).toBe(false);
  });
});
