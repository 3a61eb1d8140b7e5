import { execFileSync } from 'node:child_process';
import { statSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, inject, it, onTestFinished } from 'vitest';

import { DEFAULT_HOST_CONFIG } from '../../src/config/host-config.js';
import { openHost } from '../../src/providers/host.js';
import { homeWithImages } from '../support/e2e.js';
import { AGENTS, SCRATCH } from '../support/fake-host.js';
import { watchedVm } from '../support/watched-vm.js';

// What a job can do to its VM, and what can happen to it: seen within seconds, told with the right blame.

const OPTIONS = { provider: 'qemu', agentDirectory: AGENTS, scratch: SCRATCH };
const host = await openHost({ ...OPTIONS, home: inject('sharedHome') });
const warnings = (lines: readonly string[]): string[] =>
  lines.filter((line) => line.startsWith('warn') && !line.includes('no hardware acceleration'));

describe('a VM that ends under its job', () => {
  it('is the fault of the job that powered it off', async () => {
    const { sh } = await watchedVm(host);
    await expect(sh('echo o >/proc/sysrq-trigger; sleep 100')).rejects.toMatchObject({
      ...{ code: 'guest-ended', blame: 'user', reason: 'guest was powered off while the job ran' },
    });
  });

  it('is the fault of the job whose kernel panicked, and shows the console', async () => {
    const { sh } = await watchedVm(host);
    await expect(sh('echo c >/proc/sysrq-trigger; sleep 100')).rejects.toMatchObject({
      ...{ code: 'guest-ended', blame: 'user' },
      reason: expect.stringContaining('kernel of the guest panicked: sysrq triggered crash') as string,
      detail: expect.stringContaining('The console of the VM ends with:') as string,
    });
  });

  it('is the fault of the job that restarted it', async () => {
    const { sh } = await watchedVm(host);
    await expect(sh('echo b >/proc/sysrq-trigger; sleep 100')).rejects.toMatchObject({
      ...{ code: 'guest-ended', reason: 'guest was restarted while the job ran' },
    });
  });

  it('is the fault of the host when QEMU was killed', async () => {
    const { record, sh } = await watchedVm(host);
    const running = sh('echo up; sleep 100', {}, () => void process.kill(record.vmm?.pid ?? 0, 'SIGKILL'));
    await expect(running).rejects.toMatchObject({ code: 'vm-died', blame: 'infra' });
  });
});

describe('a VM whose memory is used up', () => {
  it('goes on without the program that its kernel killed, and one line says so', async () => {
    const { log, sh } = await watchedVm(host);
    expect(await sh('tail /dev/zero')).toMatchObject({ code: expect.any(Number) as number });
    expect(await sh('echo still here')).toMatchObject({ stdout: 'still here\n' });
    expect(warnings(log.lines)).toEqual([
      expect.stringMatching(
        /^warn: the guest's kernel killed 1 program: its memory is used up \(\d+ MiB\); ask for more with memory$/,
      ),
    ]);
  });

  it('that has nothing left to kill ends, and that is told', async () => {
    const { sh } = await watchedVm(host);
    await expect(sh('echo 1 >/proc/sys/vm/panic_on_oom; tail /dev/zero')).rejects.toMatchObject({
      ...{ code: 'guest-out-of-memory', blame: 'user' },
    });
  });
});

describe('a VM that writes too much', () => {
  it('is warned before its limit and ended at it', async () => {
    const { log, sh } = await watchedVm(host, { diskMiB: 200 });
    const fill = 'i=0; while :; do head -c 4m /dev/urandom >/var/tmp/f$i || exit 1; sync; i=$((i+1)); sleep 0.1; done';
    await expect(sh(fill, { filesMs: 20 })).rejects.toMatchObject({
      ...{ code: 'disk-limit', blame: 'user' },
      reason: expect.stringMatching(/^VM wrote 20\d(\.\d)? MiB, and may have 200 MiB/) as string,
    });
    expect(warnings(log.lines)).toEqual([expect.stringContaining('clean up, or ask for more with disk')]);
  });

  it('cannot go beyond its limit when nobody watches, and lives', async () => {
    const { record, log, sh } = await watchedVm(host, { diskMiB: 64 });
    const never = { filesMs: 3_600_000 };
    const { stdout } = await sh('head -c 300m /dev/urandom >/var/tmp/f; sync /var/tmp/f || echo refused', never);
    expect(stdout).toContain('refused');
    expect(statSync(host.store.vms.paths(record.name).disk).size).toBeLessThan(90 * 2 ** 20);
    expect(await sh('echo alive', never)).toMatchObject({ stdout: 'alive\n' });
    expect(warnings(log.lines)).toContainEqual(expect.stringMatching(/VM wrote \d+ MiB, and may have 64 MiB/));
    expect(host.processes.isAlive(record.vmm ?? host.processes.self)).toBe(true);
  });

  it('is ended before the disk of the host is full', async () => {
    const { capacity } = host.config;
    const config = { ...host.config, capacity: { ...capacity, keepFreeDiskMiB: 2 ** 40 } };
    const { sh } = await watchedVm({ ...host, config });
    await expect(sh('sleep 100', { filesMs: 20 })).rejects.toMatchObject({ code: 'disk-full', blame: 'infra' });
  });
});

describe.runIf(process.geteuid?.() === 0)('a VM on a host whose disk is full (needs root)', () => {
  it('is paused while nobody watches, and told by whoever looks next', async () => {
    const { home } = await homeWithImages(inject('sharedHome'));
    const vms = path.join(home, 'vms');
    await mkdir(vms);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=100M,mode=0711', 'tmpfs', vms]);
    onTestFinished(() => void execFileSync('umount', [vms]));
    const { capacity } = DEFAULT_HOST_CONFIG;
    const config = { ...DEFAULT_HOST_CONFIG, capacity: { ...capacity, keepFreeDiskMiB: 0 } };
    const small = await openHost({ ...OPTIONS, home, config });
    const { record, sh } = await watchedVm(small, { diskMiB: 64 });
    // Within what the VM may write; the host has less.
    writeFileSync(path.join(vms, 'others'), Buffer.alloc(90 * 2 ** 20));
    const never = { filesMs: 3_600_000, usageMs: 50, silentMs: 500, unreachableMs: 2500 };
    const filling = sh('head -c 40m /dev/urandom >/var/tmp/f; sync; echo went on', never);
    await expect(filling).rejects.toMatchObject({ code: 'agent-unreachable' });
    expect(small.processes.isAlive(record.vmm ?? small.processes.self)).toBe(true);
    await expect(sh('true', { filesMs: 20 })).rejects.toMatchObject({ code: 'disk-full', blame: 'infra' });
  });
});

describe('a guest that says nothing', () => {
  const times = { usageMs: 50, silentMs: 500, unreachableMs: 2500 };

  it('is told of, and given up after a longer time', async () => {
    const { record, log, sh } = await watchedVm(host);
    const running = sh('echo up; sleep 100', times, () => void process.kill(record.vmm?.pid ?? 0, 'SIGSTOP'));
    await expect(running).rejects.toMatchObject({ code: 'agent-unreachable', blame: 'infra' });
    expect(warnings(log.lines)).toEqual([expect.stringContaining('the guest has not answered for')]);
  });

  it('is not given up when it answers again', async () => {
    const { record, log, sh } = await watchedVm(host);
    const pid = record.vmm?.pid ?? 0;
    const stop = (): void => {
      if (warnings(log.lines).length > 0) return;
      process.kill(pid, 'SIGSTOP');
      const resume = setInterval(() => {
        if (warnings(log.lines).length === 0) return;
        clearInterval(resume);
        process.kill(pid, 'SIGCONT');
      }, 10);
    };
    const slow = { ...times, unreachableMs: 60_000 };
    expect(await sh('echo up; sleep 1; echo end', slow, stop)).toMatchObject({ code: 0, stdout: 'up\nend\n' });
  });
});

describe('a job that forks without end', () => {
  it('ends at the limit of its processes, and its VM can still be used', async () => {
    const { sh } = await watchedVm(host, {}, { pids: 100 });
    const { stdout } = await sh('i=0; while [ $i -lt 200 ]; do sleep 60 & i=$((i+1)); done; echo no limit');
    expect(stdout).not.toContain('no limit');
    expect(await sh('echo alive')).toMatchObject({ stdout: 'alive\n' });
  });
});
