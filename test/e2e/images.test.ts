import { execFileSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { beforeAll, describe, expect, inject, it } from 'vitest';

import { startVmRunner, vmRunner, type CommandResult } from '../support/command-line.js';
import { homeWithImages } from '../support/e2e.js';
import { familyImages, writeLayout, type MadeImage } from '../support/made-images.js';

interface Commands {
  readonly directory: string;
  readonly home: string;
  readonly vm: (...args: readonly string[]) => Promise<CommandResult>;
  readonly run: (image: string, ...args: readonly string[]) => Promise<CommandResult>;
  /** Makes an image of these facts, and names it. */
  readonly layout: (name: string, image?: MadeImage) => Promise<string>;
}

let families: Readonly<Record<string, MadeImage>> = {};

beforeAll(async () => {
  families = await familyImages();
});

async function commands(): Promise<Commands> {
  const { directory, home } = await homeWithImages(inject('sharedHome'));
  const options = { home, cwd: directory };
  const vm = (...args: readonly string[]): Promise<CommandResult> => vmRunner(args, options);
  return {
    directory,
    home,
    vm,
    run: (image, ...args) => vm('run', '-q', '--network', 'none', '--image', image, ...args),
    layout: async (name, image = families[name]) => {
      if (image === undefined) throw new Error(`no such family: ${name}`);
      await writeLayout(path.join(directory, name), image);
      return `oci:${name}`;
    },
  };
}

describe('a program in an image', () => {
  it('runs in busybox, with the command of the image when it names none', async () => {
    const { layout, run } = await commands();
    const image = await layout('busybox');
    expect(await run(image, '--', 'sh', '-c', 'echo out; echo err >&2; exit 7')).toMatchObject({
      exitCode: 7,
      stdout: 'out\n',
    });
    expect(await run(image)).toMatchObject({ exitCode: 0, stdout: '' });
  });

  it('runs with musl and with glibc', async () => {
    const { layout, run } = await commands();
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
    const { layout, run } = await commands();
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
    const { layout, run } = await commands();
    const image = await layout('user');
    const script = 'id; pwd; echo $GREETING $HOME; touch mine && stat -c %U mine';
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
    const { layout, run, directory } = await commands();
    const image = await layout('entrypoint');
    expect((await run(image)).stdout).toBe('entry: echo from the command\nfrom the command\n');
    expect((await run(image, '--', 'echo', 'x')).stdout).toBe('entry: echo x\nx\n');
    expect((await run(image, '--entrypoint', '', '--', 'echo', 'x')).stdout).toBe('x\n');
    expect((await run(image, '--entrypoint', '/bin/echo', '--', 'x')).stdout).toBe('x\n');
    await writeFile(path.join(directory, 'job.sh'), 'echo from a script\n');
    expect((await run(image, '--script', 'job.sh')).stdout).toBe('from a script\n');
  });

  it('sees the last of 127 layers on top', async () => {
    const { layout, run } = await commands();
    const result = await run(await layout('many'), '--', 'sh', '-c', 'cat /top; ls /layers | wc -l');
    expect(result).toMatchObject({ exitCode: 0, stdout: '124\n63\n' });
  });

  it('has its own processes, names, devices and memory, and reaches nothing of what is below', async () => {
    const { layout, run } = await commands();
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
    const { layout, run } = await commands();
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
    const { layout, run } = await commands();
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
    const { layout, run } = await commands();
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

describe('files and images', () => {
  it('come and go in the root of the image, and the workspace belongs to its user', async () => {
    const { layout, run, directory } = await commands();
    const image = await layout('user');
    await writeFile(path.join(directory, 'given'), 'given\n');
    const result = await run(image, '--workspace', '--get', 'made:home', '--', 'sh', '-c', 'cat given > made; pwd');
    expect(result).toMatchObject({ exitCode: 0, stdout: `${directory}\n` });
    expect(await readFile(path.join(directory, 'home/made'), 'utf8')).toBe('given\n');
  });

  it('are listed, inspected, exported so that others read them, imported, and removed', async () => {
    const { layout, vm, run, directory } = await commands();
    const image = await layout('entrypoint');
    expect(await vm('image', 'import', image, 'tool')).toMatchObject({ exitCode: 0 });
    const listed = JSON.parse((await vm('images', '--json')).stdout) as readonly { references: string[] }[];
    expect(listed.flatMap(({ references }) => references)).toEqual(
      expect.arrayContaining(['default', 'local/tool']) as string[],
    );
    const inspected = JSON.parse((await vm('image', 'inspect', 'local/tool')).stdout) as { config: object };
    expect(inspected.config).toMatchObject({ entrypoint: ['/entry.sh'], command: ['echo', 'from the command'] });
    expect(await vm('image', 'export', 'local/tool', 'exported')).toMatchObject({ exitCode: 0 });
    const config = execFileSync('skopeo', ['inspect', '--config', 'oci:exported'], {
      cwd: directory,
      encoding: 'utf8',
    });
    expect((JSON.parse(config) as { config: object }).config).toMatchObject({ Entrypoint: ['/entry.sh'] });
    expect(await vm('image', 'rm', 'local/tool')).toMatchObject({ exitCode: 0 });
    expect(await run('local/tool', '--', 'true')).toMatchObject({ exitCode: 125 });
    expect((await run('oci:exported')).stdout).toBe('entry: echo from the command\nfrom the command\n');
  });
});

describe('a prepared image', () => {
  it('has what its script made and not what it removed, and is there at once the second time', async () => {
    const { layout, vm, run, directory } = await commands();
    const image = await layout('busybox');
    const script = [
      'set -e',
      'mkdir -p /opt/tool && echo tool > /opt/tool/file',
      'mv /opt/tool /opt/moved',
      'rm /bin/touch; rm -r /tmp; mkdir -m 700 /tmp',
      'echo $NAME > /name',
    ].join('\n');
    await writeFile(path.join(directory, 'setup.sh'), `#!/bin/sh\n${script}\n`);
    const prepare = [
      'image',
      'prepare',
      '--network',
      'none',
      '--from',
      image,
      '--script',
      'setup.sh',
      '--env',
      'NAME=x',
    ];
    const first = await vm(...prepare, '--name', 'made');
    expect(first, first.stderr).toMatchObject({ exitCode: 0 });
    const look = 'cat /opt/moved/file /name; ls /opt; ls -d /bin/touch; stat -c %a /tmp; ls -a /tmp | wc -l';
    const looked = await run('local/made', '--', 'sh', '-c', look);
    expect(looked.stdout, looked.stderr).toBe('tool\nx\nmoved\n700\n2\n');
    const second = await vm(...prepare, '--name', 'made');
    expect(second).toMatchObject({ exitCode: 0, stdout: first.stdout });
    expect(second.stderr).toMatch(/is there already/);
  });

  it('is not made by a script that fails, and nothing of it is kept', async () => {
    const { layout, vm, directory } = await commands();
    await writeFile(path.join(directory, 'setup.sh'), '#!/bin/sh\necho no luck\nexit 3\n');
    const image = await layout('busybox');
    const result = await vm(
      'image',
      'prepare',
      '--network',
      'none',
      '--from',
      image,
      '--script',
      'setup.sh',
      '--name',
      'x',
    );
    expect(result).toMatchObject({ exitCode: 125, stdout: '' });
    expect(result.stderr).toMatch(/no luck\n[^]*script that prepares the image ended with exit code 3: local\/x/);
    expect((await vm('images', '--quiet')).stdout.split('\n')).not.toContain('local/x');
  });

  it('can be made of a VM that is up', async () => {
    const { layout, vm, run } = await commands();
    const image = await layout('busybox');
    await vm(
      'run',
      '-q',
      '--network',
      'none',
      '--image',
      image,
      '--keep',
      '--name',
      'box',
      '--',
      'sh',
      '-c',
      'echo 1 > /one',
    );
    expect(await vm('exec', 'box', '--', 'sh', '-c', 'rm /bin/wc; echo 2 > /two')).toMatchObject({ exitCode: 0 });
    const committed = await vm('commit', 'box', 'state');
    expect(committed, committed.stderr).toMatchObject({ exitCode: 0 });
    await vm('rm', 'box');
    expect((await run('local/state', '--', 'sh', '-c', 'cat /one /two; ls /bin/wc')).stdout).toBe('1\n2\n');
  });

  it('of the default image works as any other', async () => {
    const { vm, run, directory } = await commands();
    await writeFile(path.join(directory, 'setup.sh'), 'echo hello > /hello; rm /usr/bin/jq\n');
    const made = await vm('image', 'prepare', '--network', 'none', '--script', 'setup.sh', '--name', 'debian');
    expect(made, made.stderr).toMatchObject({ exitCode: 0 });
    const { stdout } = await run(
      'local/debian',
      '--',
      'bash',
      '-c',
      'cat /hello; type -P jq || echo gone; git --version',
    );
    expect(stdout).toMatch(/^hello\ngone\ngit version /);
  });
});

describe('an image that cannot be had', () => {
  it.each([
    ['not/a valid:name', /not/],
    ['oci:no-such-directory', /no-such-directory/],
    ['local/none', /local\/none/],
  ])('is refused with one sentence, by our own exit code: %s', async (image, sentence) => {
    const { run } = await commands();
    const result = await run(image, '--', 'true');
    expect(result).toMatchObject({ exitCode: 125, stdout: '' });
    expect(result.stderr).toMatch(sentence);
  });

  it('leaves nothing when the pull is interrupted', async () => {
    const { layout, home, directory } = await commands();
    const image = await layout('many');
    const { child, result } = startVmRunner(['run', '--image', image, '--', 'true'], { home, cwd: directory });
    child.kill('SIGINT');
    expect(await result).toMatchObject({ exitCode: 130 });
  });
});
