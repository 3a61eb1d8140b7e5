import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import {
  startVmRunner,
  vmRunner,
  type CommandOptions,
  type CommandResult,
  type RunningCommand,
} from '../support/command-line.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

interface FakeHost {
  readonly home: string;
  readonly options: CommandOptions;
  readonly run: (...args: readonly string[]) => Promise<CommandResult>;
  readonly start: (...args: readonly string[]) => RunningCommand;
  readonly say: (...args: readonly string[]) => Promise<CommandResult>;
}

/** A store whose VMs are agents on this host. */
async function fake(): Promise<FakeHost> {
  const directory = await temporaryDirectory();
  const options = { home: path.join(directory, 'home'), cwd: directory };
  const command = ['run', '--provider', 'fake', '-q'];
  return {
    ...{ home: options.home, options },
    run: (...args) => vmRunner([...command, ...args], options),
    start: (...args) => startVmRunner([...command, ...args], options),
    say: (...args) => vmRunner(args, options),
  };
}

function actions(jsonLines: string): string[] {
  const events = jsonLines
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { type: string; action: string });
  return events.map(({ type, action }) => `${type} ${action}`);
}

describe('vm-runner events', () => {
  it('tells the life of a job, and how its program ended', async () => {
    const { run, say } = await fake();
    await run('--name', 'box', '--', 'sh', '-c', 'exit 7', 'hidden-argument');
    const { exitCode, stdout } = await say('events', '--since', '1h', '--until', '0s', '--json');
    expect(exitCode).toBe(0);
    expect(actions(stdout)).toEqual([
      ...['vm created', 'vm ready', 'vm program-started', 'vm program-ended', 'vm destroyed'],
    ]);
    expect(stdout).toContain('"code":7');
    expect(stdout).not.toContain('hidden-argument');
    const table = await say('events', '--until', '0s', '--filter', 'event=ready', '--filter', 'event=destroyed');
    expect(table.stdout.split('\n')).toEqual([
      expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z vm ready box \(ms=\d+\)$/) as string,
      expect.stringMatching(/Z vm destroyed box$/) as string,
      '',
    ]);
  });

  it('follows until Ctrl-C, which is no failure', async () => {
    const { run, options } = await fake();
    await run('--', 'true');
    const following = startVmRunner(['events', '--json', '--since', '1h', '--filter', 'name=late'], options);
    const job = await run('--name', 'late', '--', 'true');
    expect(job.exitCode).toBe(0);
    await following.said('"destroyed"');
    following.child.kill('SIGINT');
    const { exitCode, stdout } = await following.result;
    expect(exitCode).toBe(0);
    expect(actions(stdout).at(-1)).toBe('vm destroyed');
  });

  it('lets a job run that it cannot write down, and says so once', async () => {
    const { run, home } = await fake();
    await mkdir(path.join(home, 'events.jsonl'), { recursive: true });
    const { exitCode, stderr } = await run('--', 'true');
    expect(exitCode).toBe(0);
    expect(stderr.match(/events are lost/g)).toHaveLength(1);
  });
});

describe('vm-runner logs', () => {
  it('shows what the job printed while it runs, and follows it to the end of the VM', async () => {
    const { start, options, say } = await fake();
    const job = start('--name', 'box', '-i', '--', 'sh', '-c', 'echo one; echo two >&2; sleep 1; echo three');
    await job.said('one');
    const following = startVmRunner(['logs', '-f', 'box'], options);
    await following.said('two');
    expect((await say('logs', 'box', '--tail', '1')).stdout).toMatch(/^(two|one)\n$/);
    await job.result;
    const { exitCode, stdout, stderr } = await following.result;
    // The two streams of a program have no order among each other.
    expect({ exitCode, lines: stdout.split('\n').sort(), stderr }).toEqual({
      exitCode: 0,
      lines: ['', 'one', 'three', 'two'],
      stderr: '',
    });
    expect((await say('logs', 'box')).exitCode).toBe(125);
  });

  it('keeps those of a VM that was lost, for logs, ps --all and inspect', async () => {
    const { start, say, run } = await fake();
    const job = start('--name', 'lost', '--', 'sh', '-c', 'echo last words; exec sleep 1000');
    await job.said('last words');
    job.child.kill('SIGKILL');
    await job.result;
    await run('--', 'true');
    expect((await say('logs', 'lost')).stdout).toBe('last words\n');
    expect((await say('logs', '-f', 'lost')).stdout).toBe('last words\n');
    expect((await say('ps')).stdout).not.toContain('lost');
    expect((await say('ps', '-a')).stdout).toMatch(/^lost .* ended .* ago$/m);
    const [vm] = JSON.parse((await say('inspect', 'lost')).stdout) as { state: string; logs: { job: string } }[];
    expect(vm).toMatchObject({ name: 'lost', state: 'ended', directory: null, vmm: { alive: false } });
    expect(await readFile(vm?.logs.job ?? '', 'utf8')).toBe('last words\n');
  });
});

describe('vm-runner ps', () => {
  it('shows what is there of a VM whose record is damaged', async () => {
    const { home, say, run } = await fake();
    await run('--keep', '--name', 'box', '--', 'true');
    await mkdir(path.join(home, 'vms/broken'), { recursive: true });
    await writeFile(path.join(home, 'vms/broken/vm.json'), '{"version": 1,');
    const { stdout } = await say('ps');
    expect(stdout).toMatch(/^box +default .* kept, goes in /m);
    expect(stdout).toMatch(/^broken +- .* damaged: record of a VM is no JSON$/m);
    expect((await say('ps', '-q', '--filter', 'state=damaged')).stdout).toBe('broken\n');
    expect(JSON.parse((await say('ps', '--json')).stdout)).toMatchObject([
      { name: 'box', state: 'ready', orphan: null },
      { name: 'broken', state: 'damaged', orphan: 'record is damaged', error: { code: 'store-damaged' } },
    ]);
    expect((await say('rm', 'broken', 'box')).stdout).toBe('broken\nbox\n');
  });
});

describe('vm-runner stats', () => {
  it('shows what each VM uses, as a table and for programs', async () => {
    const { run, say } = await fake();
    await run('--keep', '--name', 'box', '--', 'true');
    const { exitCode, stdout } = await say('stats', '--no-stream');
    expect(exitCode).toBe(0);
    expect(stdout.split('\n')).toEqual([
      expect.stringMatching(/^NAME +CPU +MEMORY +OF HOST +DISK +NET IN +NET OUT +TASKS$/) as string,
      expect.stringMatching(/^box +\d+ % +\S+ \S+ \/ 2\.0 GiB +\S+ [KM]iB +- .* \d+$/) as string,
      expect.stringMatching(/^1 VM with 1 processor and 2\.0 GiB; of this host .* of disk are free$/) as string,
      '',
    ]);
    const sample = JSON.parse((await say('stats', '--no-stream', '--json', 'box')).stdout) as unknown;
    expect(sample).toMatchObject({ vms: [{ name: 'box', cpuPercent: expect.any(Number) as number, disk: null }] });
    expect((await say('stats', 'nobody')).stderr).toMatch(/^vm-runner: error\[no-such-vm\]: /);
    await say('rm', 'box');
  });

  it('ends when the VM is gone that it was asked about', async () => {
    const { run, say, options } = await fake();
    await run('--keep', '--name', 'box', '--', 'true');
    const watching = startVmRunner(['stats', '--json', '--interval', '200ms', 'box'], options);
    await watching.said('}\n');
    await say('rm', 'box');
    expect((await watching.result).exitCode).toBe(0);
  });
});

describe('vm-runner exec --detach', () => {
  it('lets a program go on by itself', async () => {
    const { run, say, options } = await fake();
    await run('--keep', '--name', 'box', '--', 'true');
    const file = path.join(options.cwd ?? '', 'told');
    const fifo = `mkfifo ${file}; echo detached > ${file}`;
    expect(await say('exec', '-d', 'box', 'sh', '-c', fifo)).toEqual({ exitCode: 0, stdout: '', stderr: '' });
    const { stdout } = await say('exec', 'box', 'sh', '-c', `until [ -p ${file} ]; do sleep 0.02; done; cat ${file}`);
    expect(stdout).toBe('detached\n');
    expect((await say('events', '--until', '0s', '--filter', 'event=program-detached')).stdout).toMatch(
      /\(program=sh\)$/m,
    );
    await say('rm', 'box');
  });
});

describe('vm-runner rm', () => {
  it('does not take a VM from under a job that runs, unless it is told to', async () => {
    const { start, say } = await fake();
    const job = start('--name', 'busy', '--', 'sh', '-c', 'echo up; exec sleep 1000');
    await job.said('up');
    const refused = await say('rm', 'busy');
    expect(refused.exitCode).toBe(125);
    expect(refused.stderr).toMatch(
      /^vm-runner: error\[invalid-input\]: VM belongs to process \d+, cli, which runs: busy\. Wait until it is done, or destroy the VM under it with: vm-runner rm -f busy\n$/,
    );
    expect(await say('rm', '-f', 'busy', 'not-there')).toEqual({ exitCode: 0, stdout: 'busy\n', stderr: '' });
    expect((await job.result).exitCode).toBe(125);
    expect((await say('events', '--until', '0s', '--filter', 'name=busy')).stdout).toContain('vm died busy');
  });
});

describe('vm-runner inspect', () => {
  it('tells all that is known, and of each VM that is not there that it is not', async () => {
    const { run, say, home } = await fake();
    await run('--keep', '--name', 'box', '--', 'true');
    const { exitCode, stdout, stderr } = await say('inspect', 'box', 'none');
    expect({ exitCode, stderr }).toEqual({
      exitCode: 125,
      stderr: 'vm-runner: error[no-such-vm]: no such VM: none. See what is there with: vm-runner ps\n',
    });
    expect(JSON.parse(stdout)).toMatchObject([
      { name: 'box', owner: null, vmm: { alive: true }, directory: path.join(home, 'vms/box'), orphan: null },
    ]);
    await say('rm', 'box');
  });
});
