import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { vmRunner, type CommandResult } from '../support/command-line.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

interface Row {
  readonly setting: string;
  readonly value: string;
  readonly from: string;
}

/** Runs commands on a host with this host file. */
async function onHost(text: string) {
  const directory = await temporaryDirectory();
  const file = path.join(directory, 'h.toml');
  await writeFile(file, text);
  const call = (args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<CommandResult> =>
    vmRunner(args, { home: path.join(directory, 'home'), cwd: directory, env: { HOME: directory, ...env } });
  const rows = async (args: readonly string[] = [], env = {}): Promise<ReadonlyMap<string, Row>> => {
    const { stdout } = await call(['config', '--json', '--config', 'h.toml', ...args], env);
    const { settings } = JSON.parse(stdout) as { settings: Row[] };
    return new Map(settings.map((row) => [row.setting, row]));
  };
  return { directory, file, call, rows };
}

describe('vm-runner config', () => {
  it('tells each setting in force, and who said it', async () => {
    const { file, rows } = await onHost(
      '[limits]\nmemory = "1G"\n[images.x]\nreference = "node:22"\n[registries.mirrors]\n"docker.io" = ["https://m"]\n[qemu]\nbinary = "a"\n',
    );
    const said = await rows([], { VM_RUNNER_QEMU: '/opt/q' });
    expect(said.get('limits.memory')).toMatchObject({ value: '1G', from: `${file}:2` });
    expect(said.get('defaults.memory')).toMatchObject({ value: '1G', from: `${file}:2 (limits.memory)` });
    expect(said.get('defaults.cpus')?.from).toBe('default');
    expect(said.get('images.x.reference')).toMatchObject({ value: 'node:22', from: `${file}:4` });
    expect(said.get('registries.mirrors."docker.io"')).toMatchObject({ value: '["https://m"]', from: `${file}:6` });
    expect(said.get('qemu.binary')).toMatchObject({ value: '/opt/q', from: 'environment VM_RUNNER_QEMU' });
    expect(said.get('store')?.from).toBe('environment VM_RUNNER_HOME');
  });

  it('finds the file by its variable, too, and prints a table for people', async () => {
    const { file, call } = await onHost('[limits]\ncpus = 3\n');
    const { stdout } = await call(['config'], { VM_RUNNER_CONFIG: file });
    expect(stdout).toMatch(new RegExp(`^Host file: ${file}\n\nSETTING +VALUE +FROM\n`));
    expect(stdout).toMatch(new RegExp(`^limits\\.cpus +3 +${file}:2$`, 'm'));
  });

  it('checks for scripts', async () => {
    const { call, file } = await onHost('[limits]\ncpus = 3\n');
    expect(await call(['config', '--check', '--config', 'h.toml'])).toEqual({ exitCode: 0, stdout: '', stderr: '' });
    await writeFile(file, '[limits]\ncpus = 0\nmemroy = 1\n');
    const { exitCode, stdout, stderr } = await call(['config', '--check', '--config', 'h.toml']);
    expect({ exitCode, stdout }).toEqual({ exitCode: 125, stdout: '' });
    expect(stderr.split('\n').slice(0, 3)).toEqual([
      'vm-runner: error[host-config-invalid]: 2 mistakes in what was given:',
      `- ${file}:2: not a number of processors: limits.cpus = 0. Give a whole number from 1 to 64.`,
      `- ${file}:3: no such setting: limits.memroy. Did you mean "memory"?`,
    ]);
  });
});

describe('a host file', () => {
  const RUN = ['run', '-q', '--provider', 'fake', '--config', 'h.toml'];

  it('gives a run its defaults, and its named image what goes with it', async () => {
    const { call, directory } = await onHost(
      '[defaults]\nimage = "own"\ncpus = 3\n[images.own]\nreference = "default"\nmemory = "1G"\ndisk = "2G"\n',
    );
    expect((await call([...RUN, '--report', 'r.json', '--cpus', '1', '--', 'true'])).exitCode).toBe(0);
    const report = JSON.parse(await readFile(path.join(directory, 'r.json'), 'utf8')) as { vm: object };
    expect(report.vm).toMatchObject({ image: 'default', cpus: 1, memoryMiB: 1024, diskMiB: 2048, network: 'open' });
  });

  it('refuses what is over its limits, and says where they are', async () => {
    const { call, file } = await onHost('[limits]\nmemory = "1G"\nimages = ["node"]\n');
    const refused = await call([...RUN, '--memory', '2G', '--image', 'debian', '--', 'true']);
    expect(refused.exitCode).toBe(125);
    expect(refused.stderr).toContain('error[not-allowed]: 2 mistakes in what was given:');
    expect(refused.stderr).toContain(`The most is 1024 MiB: limits.memory in ${file}:2.`);
    expect(refused.stderr).toContain(
      `image is not allowed on this host: debian. Allowed: node: limits.images in ${file}:3.`,
    );
  });

  it('is never that of the working directory', async () => {
    const { call } = await onHost('');
    await call(['run', '-q', '--provider', 'fake', '--', 'sh', '-c', 'echo "[limits" > vm-runner.toml']);
    expect((await call(['config', '--check'])).exitCode).toBe(0);
  });

  it('refuses to bring images here that it does not allow, all at once, and before anything is fetched', async () => {
    const { call, file } = await onHost(
      '[limits]\nimages = ["own", "local/*"]\n[images.own]\nreference = "rootfs:/nowhere/own.tar"\n',
    );
    const FILE = ['--config', 'h.toml'];
    const pulled = await call(['image', 'pull', ...FILE, 'own', 'debian', 'Not an image']);
    expect(pulled.exitCode).toBe(125);
    expect(pulled.stderr.split('\n').slice(0, 3)).toEqual([
      'vm-runner: error[invalid-input]: 2 mistakes in what was given:',
      `- image is not allowed on this host: debian. Allowed: own, local/*: limits.images in ${file}:2.`,
      expect.stringContaining('Not an image') as string,
    ]);
    // A name of the host file is what it stands for.
    const own = await call(['image', 'pull', ...FILE, 'own']);
    expect(own.stderr).toContain('/nowhere/own.tar');
    expect(own.stderr).not.toContain('not-allowed');
    await writeFile(`${file}.sh`, 'true\n');
    const prepare = ['image', 'prepare', ...FILE, '--from', 'debian', '--script', 'h.toml.sh', '--name', 'x'];
    expect((await call(prepare)).stderr).toContain('error[not-allowed]: image is not allowed on this host: debian.');
    expect((await call(['image', 'import', ...FILE, 'debian', 'x'])).stderr).toContain('error[not-allowed]');
    // Files are taken from whoever can read them.
    const imported = await call(['image', 'import', ...FILE, 'rootfs:missing.tar', 'x']);
    expect(imported.stderr).toContain('missing.tar');
    expect(imported.stderr).not.toContain('not-allowed');
  });
});
