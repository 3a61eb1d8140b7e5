import { execFileSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { imageCommands } from '../support/image-commands.js';

describe('files and images', () => {
  it('come and go in the root of the image, and the workspace belongs to its user', async () => {
    const { layout, run, directory } = await imageCommands();
    const image = await layout('user');
    await writeFile(path.join(directory, 'given'), 'given\n');
    const result = await run(image, '--workspace', '--get', 'made:home', '--', 'sh', '-c', 'cat given > made; pwd');
    expect(result).toMatchObject({ exitCode: 0, stdout: `${directory}\n` });
    expect(await readFile(path.join(directory, 'home/made'), 'utf8')).toBe('given\n');
  });

  it('are listed, inspected, exported so that others read them, imported, and removed', async () => {
    const { layout, vm, run, directory } = await imageCommands();
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
    const { layout, vm, run, directory } = await imageCommands();
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
    const { layout, vm, directory } = await imageCommands();
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
    const { layout, vm, run } = await imageCommands();
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
    const { vm, run, directory } = await imageCommands();
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

describe('an image that the host file gives a name and a script', () => {
  it('is prepared once, for whoever wants it first, and its jobs have the limits of the host', async () => {
    const { directory, vm, layout } = await imageCommands();
    const reference = `oci:${path.join(directory, (await layout('busybox')).slice('oci:'.length))}`;
    const script = path.join(directory, 'tool.sh');
    await writeFile(script, 'echo made >/tool; echo fetching; printf "last word"');
    await writeFile(
      path.join(directory, 'h.toml'),
      `[images.tool]\nreference = "${reference}"\nprepare = "${script}"\nmemory = "512M"\n[limits]\npids = 60\nimages = ["tool"]\n`,
    );
    const job = (...program: string[]) =>
      vm(...['run', '--network', 'none', '--config', 'h.toml', '--image', 'tool', '--', ...program]);
    const first = await job('cat', '/tool');
    expect(first, first.stderr).toMatchObject({ exitCode: 0, stdout: 'made\n' });
    expect(first.stderr).toContain(`vm-runner: preparing image tool with ${script}\n`);
    // Its output has no end of a line at its end.
    expect(first.stderr).toContain('vm-runner: tool: fetching\nvm-runner: tool: last word\n');
    const fork = 'i=0; while [ $i -lt 200 ]; do sleep 60 & i=$((i+1)); done; echo no limit';
    const second = await job('sh', '-c', `cat /tool; ${fork}`);
    expect(second.stdout, second.stderr).toBe('made\n');
    expect(second.exitCode).not.toBe(0);
    expect(second.stderr).not.toContain('preparing image');
    expect((await vm('images', '--quiet')).stdout.split('\n')).toContain('local/host-file-tool');
  });
});

describe('an image that cannot be had', () => {
  it.each([
    ['not/a valid:name', /not/],
    ['oci:no-such-directory', /no-such-directory/],
    ['local/none', /local\/none/],
  ])('is refused with one sentence, by our own exit code: %s', async (image, sentence) => {
    const { run } = await imageCommands();
    const result = await run(image, '--', 'true');
    expect(result).toMatchObject({ exitCode: 125, stdout: '' });
    expect(result.stderr).toMatch(sentence);
  });
});
