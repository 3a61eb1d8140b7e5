import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';

import { describe, expect, inject, it, onTestFinished } from 'vitest';

import { startVmRunner, vmRunner, type CommandOptions, type CommandResult } from '../support/command-line.js';
import { homeWithImages, qemuProcesses } from '../support/e2e.js';

async function command(): Promise<{
  directory: string;
  options: CommandOptions;
  run: (...args: readonly string[]) => Promise<CommandResult>;
}> {
  const { directory, home } = await homeWithImages(inject('sharedHome'));
  const options = { home, cwd: directory };
  return { directory, options, run: (...args) => vmRunner(['run', '-q', '--network', 'none', ...args], options) };
}

/** Nothing of a VM may be left: no process, no directory, no half-made thing. */
async function expectNothingLeft(home: string): Promise<void> {
  expect(await readdir(path.join(home, 'vms'))).toEqual([]);
  expect(await readdir(path.join(home, 'tmp'))).toEqual([]);
  expect(await readdir(path.join(home, 'locks'))).toEqual([]);
  expect(qemuProcesses(home)).toEqual([]);
}

describe('vm-runner run in a real guest', () => {
  it('carries exit code and streams through, and builds nothing the second time', async () => {
    const { run, options } = await command();
    const { exitCode, stdout, stderr } = await run('--', 'sh', '-c', 'uname -a; echo err >&2; exit 7');
    expect({ exitCode, stdout }).toEqual({
      exitCode: 7,
      stdout: expect.stringMatching(/^Linux vm-[0-9a-f]{10} .* GNU\/Linux\n$/) as string,
    });
    expect(
      stderr.split('\n').filter((line) => !line.startsWith('vm-runner: warning: no hardware acceleration')),
    ).toEqual(['err', '']);
    await expectNothingLeft(options.home);
  });

  it('brings a tree home bit for bit', async () => {
    const { directory, options, run } = await command();
    const at = (name: string): string => path.join(directory, name);
    await mkdir(at('src/deep/.hidden'), { recursive: true });
    await writeFile(at('src/deep/.hidden/data'), Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7) % 256)));
    await writeFile(at('src/tool'), '#!/bin/sh\n', { mode: 0o755 });
    await symlink('deep/.hidden/data', at('src/link'));
    await writeFile(at('build.sh'), '#!/bin/bash\nset -eu\nmkdir -p /w/out\ncp -a /w/src/. /w/out\n');
    const result = await run('--put', './src:/w/src', '--get', '/w/out/**:./back', '--script', 'build.sh');
    expect(result).toMatchObject({ exitCode: 0, stdout: '' });
    execFileSync('diff', ['-r', '--no-dereference', at('src'), at('back')]);
    const listing = (name: string): string =>
      execFileSync('find', ['.', '-printf', '%p %y %m %l\n'], { cwd: at(name), encoding: 'utf8' });
    expect(listing('back').split('\n').sort()).toEqual(listing('src').split('\n').sort());
    await expectNothingLeft(options.home);
  });

  it('works in a copy of the current directory', async () => {
    const { directory, run } = await command();
    await writeFile(path.join(directory, 'Makefile'), 'test:\n\t@echo in $$(pwd)\n');
    expect(await run('--workspace', '--', 'make', '-s', 'test')).toMatchObject({
      exitCode: 0,
      stdout: `in ${directory}\n`,
    });
  });

  it('gives the guest its name, the time, fresh randomness, and no network when there is none', async () => {
    const { run } = await command();
    const before = Date.now();
    const { stdout } = await run(
      '--name',
      'box',
      '--',
      'sh',
      '-c',
      'hostname; date +%s; cat /etc/machine-id; ip -4 -br addr show scope global; getent hosts box | cut -d" " -f1',
    );
    const [hostname, seconds, machineId, ...rest] = stdout.trim().split('\n');
    expect(hostname).toBe('box');
    expect(Math.abs(Number(seconds) * 1000 - before)).toBeLessThan(120_000);
    expect(machineId).toMatch(/^[0-9a-f]{32}$/);
    expect(rest).toEqual([expect.stringMatching(/^127\.|^::1/)]);
  });

  it('gives the guest a network when it is asked for', async () => {
    const { options } = await command();
    const { stdout } = await vmRunner(
      [
        'run',
        '-q',
        '--network',
        'open',
        '--',
        'sh',
        '-c',
        'ip -4 -br addr show scope global; ip route show default; cat /etc/resolv.conf',
      ],
      options,
    );
    expect(stdout).toMatch(/10\.0\.2\.15\/24/);
    expect(stdout).toMatch(/default via 10\.0\.2\.2/);
    expect(stdout).toMatch(/nameserver 10\.0\.2\.3/);
  });

  it('lets the guest reach this host with the network open, and nothing without', async () => {
    const { options } = await command();
    const server = createServer((_request, response) => response.end('from the host'));
    await once(server.listen(0, '127.0.0.1'), 'listening');
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const curl = (network: string): Promise<CommandResult> =>
      vmRunner(
        ['run', '-q', '--network', network, '--', 'curl', '-sS', '--max-time', '20', `http://10.0.2.2:${port}/`],
        options,
      );
    expect(await curl('open')).toMatchObject({ exitCode: 0, stdout: 'from the host' });
    expect(await curl('none')).toMatchObject({ exitCode: 7, stdout: '' });
  });

  it('runs as another user', async () => {
    const { run } = await command();
    expect(
      (await run('--user', 'nobody', '--workdir', '/tmp', '--', 'sh', '-c', 'id -un; pwd; touch here')).stdout,
    ).toBe('nobody\n/tmp\n');
  });

  it('says what the guest could not run', async () => {
    const { run, options } = await command();
    expect(await run('--', 'no-such-program')).toMatchObject({ exitCode: 127, stdout: '' });
    expect(await run('--', '/etc/passwd')).toMatchObject({ exitCode: 126, stdout: '' });
    await expectNothingLeft(options.home);
  });

  it('says that the job ended its VM when the guest powers off under it', async () => {
    const { run, options } = await command();
    const { exitCode, stderr } = await run('--', 'sh', '-c', 'echo o > /proc/sysrq-trigger; sleep 100');
    expect(exitCode).toBe(125);
    expect(stderr).toMatch(/^vm-runner: error\[guest-ended\]: guest was powered off while the job ran: vm-/m);
    await expectNothingLeft(options.home);
  });

  it('runs ten at once, each with its own exit code', async () => {
    const { run, options } = await command();
    const results = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        run('--memory', '512M', '--boot-timeout', '280s', '--', 'sh', '-c', `exit ${index}`),
      ),
    );
    expect(results.map((result) => result.exitCode)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect((await vmRunner(['ps', '-q'], options)).stdout).toBe('');
    await expectNothingLeft(options.home);
  });

  it('destroys the VM on Ctrl-C', async () => {
    const { options } = await command();
    const running = startVmRunner(['run', '--network', 'none', '--', 'sh', '-c', 'echo up; exec sleep 1000'], options);
    await running.said('up\n');
    expect(qemuProcesses(options.home)).toHaveLength(1);
    running.child.kill('SIGINT');
    expect((await running.result).exitCode).toBe(130);
    await expectNothingLeft(options.home);
  });

  it('is cleaned up after by gc when it was killed, and a kept VM stays', async () => {
    const { options, run } = await command();
    expect(
      (await run('--keep', '--name', 'kept', '--memory', '512M', '--template', 'never', '--', 'true')).exitCode,
    ).toBe(0);
    onTestFinished(() => vmRunner(['rm', '-f', 'kept'], options).then(() => undefined));
    const running = startVmRunner(
      ['run', '--network', 'none', '--memory', '512M', '--', 'sh', '-c', 'echo up; exec sleep 1000'],
      options,
    );
    await running.said('up\n');
    running.child.kill('SIGKILL');
    await running.result;
    expect(qemuProcesses(options.home)).toHaveLength(2);
    expect((await vmRunner(['gc'], options)).stdout).toMatch(
      /^KIND +SIZE +NAME +REASON\nvm +\S+ \S+ +\S+ +owner is gone\nremoved 1 thing, /,
    );
    expect(await readdir(path.join(options.home, 'vms'))).toEqual(['kept']);
    expect(await vmRunner(['exec', 'kept', 'echo', 'still here'], options)).toMatchObject({
      exitCode: 0,
      stdout: 'still here\n',
    });
    expect((await vmRunner(['logs', '--console', 'kept'], options)).stdout).toContain('ready');
    expect((await vmRunner(['rm', 'kept'], options)).exitCode).toBe(0);
    await expectNothingLeft(options.home);
  });

  it('shows the console when the guest does not boot in time', async () => {
    const { run, options } = await command();
    const { exitCode, stderr } = await run('--template', 'never', '--boot-timeout', '100ms', '--', 'true');
    expect(exitCode).toBe(125);
    expect(stderr).toMatch(/agent in the guest did not answer within 100 ms of boot: vm-/);
    expect(stderr).toMatch(/The console of the VM/);
    await expectNothingLeft(options.home);
  });

  it('says what is missing when there is no QEMU', async () => {
    const { options } = await command();
    const bin = path.join(options.cwd ?? '', 'bin');
    await mkdir(bin);
    await symlink(process.execPath, path.join(bin, 'node'));
    await chmod(bin, 0o755);
    const { exitCode, stderr } = await vmRunner(
      ['run', '-q', '--network', 'none', '--provider', 'qemu', '--', 'true'],
      {
        ...options,
        env: { VM_RUNNER_QEMU: path.join(bin, 'no-qemu') },
      },
    );
    expect({ exitCode, stderr }).toEqual({
      exitCode: 125,
      stderr: `vm-runner: error[host-tool-missing]: program not found on this host: ${path.join(bin, 'no-qemu')}. Install it with: apt-get install qemu-system-x86\n`,
    });
    await expectNothingLeft(options.home);
  });

  it('tells a report what happened when', async () => {
    const { directory, run } = await command();
    const spans = async (...flags: readonly string[]): Promise<string[]> => {
      await run(...flags, '--report', 'report.json', '--', 'true');
      const text = await readFile(path.join(directory, 'report.json'), 'utf8');
      return (JSON.parse(text) as { timeline: { name: string }[] }).timeline.map(({ name }) => name);
    };
    const always = ['image', 'create', 'boot', 'resume', 'enter', 'put', 'run', 'get', 'cleanup'];
    const booted = await spans('--template', 'never');
    expect(booted).toEqual(expect.arrayContaining([...always, 'boot: firmware', 'boot: kernel', 'boot: ready']));
    const cloned = await spans();
    expect(cloned).toEqual(expect.arrayContaining([...always, 'clone']));
    expect(cloned).not.toContain('boot: kernel');
  });
});
