import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, inject, it } from 'vitest';

import { openHost } from '../../src/providers/host.js';
import { AGENTS, keptLog, SCRATCH } from '../support/fake-host.js';
import { watchedVm } from '../support/watched-vm.js';
import { cleanup } from '../../src/stages/cleanup.js';

// What holds for QEMU whoever watches it: read from /proc while a guest runs.

const host = await openHost({ home: inject('sharedHome'), provider: 'qemu', agentDirectory: AGENTS, scratch: SCRATCH });
const isRoot = process.geteuid?.() === 0;

const status = (pid: number, field: string): string =>
  (new RegExp(`^${field}:\\s*(.*)$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '').trim();
const limit = (pid: number, name: string): string[] => {
  const line =
    readFileSync(`/proc/${pid}/limits`, 'utf8')
      .split('\n')
      .find((text) => text.startsWith(name)) ?? '';
  return line.slice(name.length).trim().split(/\s+/).slice(0, 2);
};
const SIGXFSZ = 25;

describe('the QEMU of a VM', () => {
  it('has limits, no core dumps, and gains no privileges', async () => {
    const { record } = await watchedVm(host, { diskMiB: 100 });
    const pid = record.vmm?.pid ?? 0;
    expect(Number(limit(pid, 'Max open files')[1])).toBeGreaterThanOrEqual(4096);
    expect(limit(pid, 'Max open files')[0]).toBe(limit(pid, 'Max open files')[1]);
    expect(limit(pid, 'Max core file size')).toEqual(['0', '0']);
    const [most] = limit(pid, 'Max file size').map(Number);
    expect(most).toBeGreaterThan(100 * 2 ** 20);
    expect(most).toBeLessThan(125 * 2 ** 20);
    expect(BigInt(`0x${status(pid, 'SigIgn')}`) & (1n << BigInt(SIGXFSZ - 1))).not.toBe(0n);
    expect(status(pid, 'NoNewPrivs')).toBe('1');
    expect(status(pid, 'Seccomp')).toBe('2');
  });

  it.runIf(isRoot)('is a user of its own, unlike any other, without a capability', async () => {
    const [one, two] = await Promise.all([watchedVm(host), watchedVm(host)]);
    const pids = [one, two].map(({ record }) => record.vmm?.pid ?? 0);
    const uids = pids.map((pid) => status(pid, 'Uid').split(/\s+/));
    for (const [index, { record }] of [one, two].entries()) {
      expect(new Set(uids[index])).toEqual(new Set([String(record.vmmUid)]));
    }
    expect(one.record.vmmUid).not.toBe(two.record.vmmUid);
    for (const pid of pids) {
      expect(new Set(status(pid, 'Gid').split(/\s+/))).toEqual(new Set(['1900000000']));
      for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
        expect(status(pid, set)).toBe('0000000000000000');
      }
    }
    // As the one: it can neither signal the other, nor read its memory, nor its files.
    const as = (uid: number | undefined, script: string): string => {
      const who = [`--reuid=${String(uid)}`, '--regid=1900000000', '--clear-groups', '--inh-caps=-all'];
      try {
        return execFileSync('setpriv', [...who, '--', 'sh', '-c', `${script} 2>&1`], { encoding: 'utf8' });
      } catch (error) {
        return `refused: ${String((error as { stdout?: string }).stdout)}`;
      }
    };
    const { disk, console } = host.store.vms.paths(two.record.name);
    const { agents, record, directory } = host.store.vms.paths(one.record.name);
    for (const script of [
      `kill -9 ${pids[1]}`,
      `cat /proc/${pids[1]}/maps`,
      `cat ${disk}`,
      `cat ${console}`,
      // Nor may it change what we follow later: its own record, sockets and logs.
      `cat ${record}`,
      `rm ${agents[0]}`,
      `touch ${directory}/x`,
    ]) {
      expect(as(one.record.vmmUid, script)).toMatch(/^refused: /);
    }
    expect(await two.sh('echo alive')).toMatchObject({ stdout: 'alive\n' });
  });

  it.runIf(isRoot)('leaves nothing to be read by other users of the host', async () => {
    const { record } = await watchedVm(host);
    const { directory, disk, console } = host.store.vms.paths(record.name);
    expect(statSync(directory)).toMatchObject({ uid: 0, gid: 0 });
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    const { home, templates } = host.store.paths;
    const memory = path.join(templates, record.template ?? '', 'ram');
    const asNobody = ['--reuid=65534', '--regid=65534', '--clear-groups', '--'];
    for (const file of [disk, console, memory, path.join(home, 'version'), host.store.paths.emptySlot]) {
      expect(existsSync(file)).toBe(true);
      expect(() => execFileSync('setpriv', [...asNobody, 'cat', file], { stdio: 'ignore' })).toThrow();
    }
  });

  it('is in control groups where there are some, which go with it', async () => {
    const { record } = await watchedVm(host);
    const pid = record.vmm?.pid ?? 0;
    const cgroups = record.cgroups ?? [];
    for (const directory of cgroups) {
      expect(readFileSync(path.join(directory, 'cgroup.procs'), 'utf8').trim()).toBe(String(pid));
    }
    await cleanup(host, record.name, { keepLogs: false, log: keptLog() });
    for (const directory of cgroups) {
      expect(await readdir(path.dirname(directory))).not.toContain(path.basename(directory));
    }
  });
});
