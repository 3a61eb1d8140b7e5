import { writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { imageCommands } from '../support/image-commands.js';

describe('a program in an image', () => {
  it('runs in busybox, with the command of the image when it names none', async () => {
    const { layout, run } = await imageCommands();
    const image = await layout('busybox');
    expect(await run(image, '--', 'sh', '-c', 'echo out; echo err >&2; exit 7')).toMatchObject({
      exitCode: 7,
      stdout: 'out\n',
    });
    expect(await run(image)).toMatchObject({ exitCode: 0, stdout: '' });
  });

  it('runs with musl and with glibc', async () => {
    const { layout, run } = await imageCommands();
    expect(await run(await layout('musl'), '--', 'sh', '-c', 'hello; echo $FAMILY')).toMatchObject({
      exitCode: 0,
      stdout: 'hello from musl\nmusl\n',
    });
    expect(await run(await layout('glibc'), '--', '/bin/dash', '-c', 'pwd')).toMatchObject({
      exitCode: 0,
      stdout: '/work\n',
    });
  });

  it('runs where there is no shell, and where there is nothing else at all', async () => {
    const { layout, run } = await imageCommands();
    expect(await run(await layout('distroless'), '--', '--version')).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(/^vm-agent \d/) as string,
    });
    const scratch = await layout('scratch');
    expect(await run(scratch, '--', '/vm-agent', '--version')).toMatchObject({ exitCode: 0 });
    expect(await run(scratch, '--', 'sh')).toMatchObject({ exitCode: 127, stdout: '' });
    const nothing = await run(scratch);
    expect(nothing).toMatchObject({ exitCode: 125 });
    expect(nothing.stderr).toMatch(/no program/);
  });

  it('runs as the user of the image, in its directory, with its environment, or as it is told', async () => {
    const { layout, run } = await imageCommands();
    const image = await layout('user');
    const script = 'id; pwd; echo $GREETING $HOME; touch ~/mine && stat -c %U ~/mine';
    expect((await run(image, '--', 'sh', '-c', script)).stdout.split('\n')).toEqual([
      'uid=1000(node) gid=1000(node) groups=999(docker),1000(node)',
      '/home/node/app',
      'hello /home/node',
      'node',
      '',
    ]);
    const flags = ['--user', '0', '--workdir', '/tmp', '--env', 'GREETING=bye'];
    expect((await run(image, ...flags, '--', 'sh', '-c', 'id -u; pwd; echo $GREETING')).stdout).toBe('0\n/tmp\nbye\n');
    const unknown = await run(image, '--user', 'nobody', '--', 'true');
    expect(unknown).toMatchObject({ exitCode: 125 });
    expect(unknown.stderr).toMatch(/unknown user nobody/);
  });

  it('goes through the entrypoint, unless another one or none is asked for', async () => {
    const { layout, run, directory } = await imageCommands();
    const image = await layout('entrypoint');
    expect((await run(image)).stdout).toBe('entry: echo from the command\nfrom the command\n');
    expect((await run(image, '--', 'echo', 'x')).stdout).toBe('entry: echo x\nx\n');
    expect((await run(image, '--entrypoint', '', '--', 'echo', 'x')).stdout).toBe('x\n');
    expect((await run(image, '--entrypoint', '/bin/echo', '--', 'x')).stdout).toBe('x\n');
    await writeFile(path.join(directory, 'job.sh'), 'echo from a script\n');
    expect((await run(image, '--script', 'job.sh')).stdout).toBe('from a script\n');
  });

  it('sees the last of 127 layers on top', async () => {
    const { layout, run } = await imageCommands();
    const result = await run(await layout('many'), '--', 'sh', '-c', 'cat /top; ls /layers | wc -l');
    expect(result).toMatchObject({ exitCode: 0, stdout: '124\n63\n' });
  });

  it('has its own processes, names, devices and memory, and reaches nothing of what is below', async () => {
    const { layout, run } = await imageCommands();
    const script = [
      'ps -o pid,comm | wc -l',
      'cat /proc/1/comm',
      'hostname; cat /etc/hostname; grep -c "$(hostname)" /etc/hosts',
      'grep -c . /etc/machine-id',
      'stat -c %a /dev/shm; test -c /dev/null -a -c /dev/ptmx -a -c /dev/pts/ptmx && echo devices',
      'ls /scratch /lower /init 2>/dev/null | wc -l',
      'ls -d /lib/modules/*/kernel',
      'mkdir /sys/fs/cgroup/mine && echo cgroups',
      'unshare -U true && echo namespaces',
    ].join('\n');
    const { stdout, stderr } = await run(await layout('busybox'), '--name', 'box', '--', 'sh', '-c', script);
    const [processes, , hostname, file, hosts, machineId, ...rest] = stdout.trim().split('\n');
    expect(Number(processes), stderr).toBeLessThan(8);
    expect([hostname, file, Number(hosts) > 0, machineId]).toEqual(['box', 'box', true, '1']);
    expect(rest).toEqual([
      '1777',
      'devices',
      '0',
      expect.stringMatching(/^\/lib\/modules\/.*\/kernel$/) as string,
      'cgroups',
      'namespaces',
    ]);
  });

  it('can lay overlays where container engines do', async () => {
    const { layout, run } = await imageCommands();
    const script = [
      'cd /var/lib/docker && mkdir lower upper work merged && echo below > lower/file',
      'mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged',
      'cat merged/file',
    ].join('\n');
    expect(await run(await layout('busybox'), '--', 'sh', '-ec', script)).toMatchObject({
      exitCode: 0,
      stdout: 'below\n',
    });
  });

  it("starts the image's own init when it is asked for", async () => {
    const { layout, run, families } = await imageCommands();
    const image = await layout('with-init', {
      layers: [
        ...(families['busybox']?.layers ?? []),
        [{ path: 'etc/inittab', content: '::sysinit:/bin/touch /started\n::respawn:/bin/sleep 1000\n' }],
      ],
      config: { Env: ['PATH=/bin'] },
    });
    const script = 'until test -e /started; do sleep 0.1; done; cat /proc/1/comm';
    expect(await run(image, '--init', '/bin/init', '--', 'sh', '-c', script)).toMatchObject({
      exitCode: 0,
      stdout: 'init\n',
    });
  });

  it('keeps volumes off the overlay, but not what the image has in them', async () => {
    const { layout, run, families } = await imageCommands();
    const image = await layout('volumes', {
      layers: [
        ...(families['busybox']?.layers ?? []),
        [
          { path: 'full/file', content: 'x\n' },
          { path: 'empty/', uid: 9 },
        ],
      ],
      config: { Env: ['PATH=/bin'], Volumes: { '/full': {}, '/empty': {}, '/new': {} } },
    });
    const script = 'cat /full/file; stat -f -c %T /empty /new; stat -c %u /empty';
    const { stdout } = await run(image, '--', 'sh', '-c', script);
    expect(stdout).toBe('x\next2/ext3\next2/ext3\n9\n');
  });
});
