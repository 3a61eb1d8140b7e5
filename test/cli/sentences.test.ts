import { mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { vmRunner } from '../support/command-line.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

/** Runs a command line that must fail with exit code 125, say this, and leave no VM. */
async function refusal(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> {
  const cwd = await temporaryDirectory();
  const home = path.join(cwd, 'home');
  const { exitCode, stdout, stderr } = await vmRunner(args, { home, cwd, env });
  expect({ exitCode, stdout }).toEqual({ exitCode: 125, stdout: '' });
  const vms = await readdir(path.join(home, 'vms')).catch(() => []);
  expect(vms).toEqual([]);
  return stderr.replaceAll(cwd, '').trimEnd();
}

describe('bad input of the command line gets one clear sentence:', () => {
  it.each([
    [['frobnicate'], 'unknown command: frobnicate. See what there is with: vm-runner --help'],
    [['stast'], 'unknown command: stast. Did you mean stats? See what there is with: vm-runner --help'],
    [
      ['image', 'pul'],
      'unknown command: image pul. Did you mean image pull? There is: image pull, image inspect, image rm, image prepare, image import, image export.',
    ],
    [['help', 'frobnicate'], 'unknown command: frobnicate. See what there is with: vm-runner --help'],
    [['run', '--memroy', '--', 'true'], 'unknown flag: --memroy. Did you mean --memory? See: vm-runner run --help'],
    [['run', '--frobnicate', '--', 'true'], 'unknown flag: --frobnicate. See: vm-runner run --help'],
    [
      ['attach', 'box'],
      'standard input is no terminal. Give a shell its input from elsewhere with: vm-runner exec -i box sh',
    ],
    [
      ['exec', '-d', '-t', 'box', 'sh'],
      'nobody waits for a detached program: --tty with --detach. Leave one of the two out.',
    ],
    [
      ['stats', '--interval', '1ms'],
      'not a time between samples: --interval=1ms. Give seconds, or a number with ms, s, m, h or d, of at least 200ms, as in 5s.',
    ],
    [['run'], 'nothing to run. Give a program behind --, or a script with --script FILE.'],
    [
      ['run', '--memory', 'many', '--', 'true'],
      'not a memory size: --memory=many. Give MiB, or a number with K, M, G or T, of at least 128M, as in 2G.',
    ],
    [
      ['run', '--memory', '64M', '--', 'true'],
      'not a memory size: --memory=64M. Give MiB, or a number with K, M, G or T, of at least 128M, as in 2G.',
    ],
    [['run', '--cpus', '0', '--', 'true'], 'not a number of processors: --cpus=0. Give a whole number from 1 to 64.'],
    [
      ['run', '--network', 'internet', '--', 'true'],
      'not a network policy: --network=internet. Give one of: none, open.',
    ],
    [
      ['run', '--timeout', 'soon', '--', 'true'],
      'not a duration: --timeout=soon. Give seconds, or a number with ms, s, m, h or d, as in 1h30m.',
    ],
    [
      ['run', '--name', 'My VM', '--', 'true'],
      'not a name for a VM: --name=My VM. Use at most 40 lower-case letters, digits and dashes.',
    ],
    [['run', '--script', 'build.sh'], 'cannot read the script: build.sh. Check that the file exists and is readable.'],
    [['run', '--put', 'nothing:/x', '--', 'true'], 'nothing to copy at that path: --put nothing. Check the path.'],
    [
      ['run', '--put', 'nothing', '--', 'true'],
      'not of the form SRC:DST: --put nothing. Name the host path, a colon, and the path in the guest.',
    ],
    [['run', '--env', '1A=x', '--', 'true'], 'not the name of a variable: --env 1A. Write NAME=VALUE, or NAME alone.'],
    [['run', '--env-file', 'vars', '--', 'true'], 'no such file: --env-file /vars. Check the path.'],
    [
      ['run', '--workdir', 'src', '--', 'true'],
      'not an absolute path in the guest: --workdir=src. Begin it with a slash.',
    ],
    [['run', '--provider', 'xen', '--', 'true'], 'no such provider: xen. Known are: qemu, fake.'],
    [
      ['run', '--provider', 'fake', '--image', 'node:22', '--', 'true'],
      'the provider "fake" makes no VM, and so boots no image: node:22. Leave the image out for a dry run.',
    ],
    [
      ['run', '--image', 'Node:22', '--', 'true'],
      'name of an image has capital letters: "Node:22". Write it in lower case.',
    ],
    [['run', '--pull', 'often', '--', 'true'], 'not a pull policy: --pull=often. Give one of: always, if-not-present,'],
    [['image'], 'unknown command: image. There is: image pull, image inspect, image rm, image prepare, image import,'],
    [['image', 'list'], 'unknown command: image list. There is: image pull,'],
    [['images', 'node'], 'unexpected argument: node.'],
    [['templates', 'rm', 'abc'], 'no such template: abc. See what there is with: vm-runner templates'],
    [['exec', 'vm-none', 'true'], 'no such VM: vm-none. See what is there with: vm-runner ps'],
    [
      ['logs', 'vm-none'],
      'no such VM, and no logs of it are kept: vm-none. See what is there with: vm-runner ps --all',
    ],
    [['rm', 'vm-none'], 'no such VM: vm-none. See what is there with: vm-runner ps'],
    [
      ['cp', 'a', 'b'],
      'not one side in a VM and one on this host: a b. Write NAME:/absolute/path for the side in the VM.',
    ],
  ])('%j', async (args, sentence) => {
    expect(await refusal(args)).toContain(`]: ${sentence}`);
  });

  it('all mistakes about a prepared image together', async () => {
    expect(await refusal(['image', 'prepare', '--from', 'A'])).toBe(
      [
        'vm-runner: error[invalid-input]: 3 mistakes in what was given:',
        '- name of an image has capital letters: "A". Write it in lower case.',
        '- flag missing: --script. Name the file of the script that prepares the image.',
        '- flag missing: --name. Say what the image shall be called.',
      ].join('\n'),
    );
  });

  it('all mistakes of one command line together', async () => {
    expect(await refusal(['run', '--cpus', 'x', '--memory', 'y'])).toBe(
      [
        'vm-runner: error[invalid-input]: 3 mistakes in what was given:',
        '- not a number of processors: --cpus=x. Give a whole number from 1 to 64.',
        '- not a memory size: --memory=y. Give MiB, or a number with K, M, G or T, of at least 128M, as in 2G.',
        '- nothing to run. Give a program behind --, or a script with --script FILE.',
      ].join('\n'),
    );
  });

  it('a store that is no absolute path', async () => {
    expect(await refusal(['ps'], { VM_RUNNER_HOME: 'here' })).toBe(
      'vm-runner: error[invalid-input]: not an absolute path: VM_RUNNER_HOME=here. Every process must find the same store: give the whole path.',
    );
  });

  it('a store that is a file', async () => {
    const cwd = await temporaryDirectory();
    await writeFile(path.join(cwd, 'file'), '');
    expect((await refusal(['ps'], { VM_RUNNER_HOME: path.join(cwd, 'file') })).split('.')[0]).toBe(
      `vm-runner: error[host-file-failed]: cannot make a directory of the store: ${cwd}/file`,
    );
  });
});

describe('help', () => {
  it('lists every command, and each command explains itself', async () => {
    const home = path.join(await temporaryDirectory(), 'home');
    const overview = await vmRunner(['--help'], { home });
    expect(overview.exitCode).toBe(0);
    const commands = [...overview.stdout.matchAll(/^ {2}([a-z]+(?: [a-z]+)?) {2,}/gm)].map((match) => match[1] ?? '');
    expect(commands).toEqual([
      ...['run', 'exec', 'attach', 'cp', 'commit', 'rm'],
      ...['ps', 'stats', 'logs', 'inspect', 'events', 'images'],
      ...['image pull', 'image inspect', 'image rm', 'image prepare', 'image import', 'image export'],
      ...['templates', 'templates rm', 'doctor', 'gc', 'pool', 'config', 'explain', 'completion'],
    ]);
    for (const command of commands) {
      const { exitCode, stdout } = await vmRunner([...command.split(' '), '--help'], { home });
      expect({ exitCode, first: stdout.split('\n')[0] }).toEqual({
        exitCode: 0,
        first: expect.stringMatching(`^Usage: vm-runner ${command} `) as string,
      });
      expect(stdout.split('\n').filter((line) => line.length > 110)).toEqual([]);
    }
  });

  it('is not taken from the program of the guest', async () => {
    const directory = await temporaryDirectory();
    await mkdir(path.join(directory, 'home'));
    const { stdout } = await vmRunner(['exec', 'vm-none', 'ls', '--help'], { home: path.join(directory, 'home') });
    expect(stdout).toBe('');
  });
});
