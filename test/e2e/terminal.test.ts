import { describe, expect, inject, it, onTestFinished } from 'vitest';

import { vmRunner, type CommandOptions } from '../support/command-line.js';
import { homeWithImages } from '../support/e2e.js';
import { onTerminal, type OnTerminal } from '../support/terminal.js';

interface Box {
  readonly options: CommandOptions;
  readonly start: (line: string) => OnTerminal;
}

/** A VM that was kept. */
async function box(): Promise<Box> {
  const options = await homeWithImages(inject('sharedHome'));
  const made = await vmRunner(['run', '--keep', '--name', 'box', '--memory', '512M', '--', 'true'], options);
  expect(made, made.stderr).toMatchObject({ exitCode: 0 });
  onTestFinished(() => vmRunner(['rm', '-f', 'box'], options).then(() => undefined));
  return { options, start: (line) => onTerminal(line, options.home) };
}

describe('on a terminal', () => {
  it('gives the guest its size, also when that changes', async () => {
    const { start } = await box();
    const terminal = start(
      `vm-runner exec -it box sh -c 'trap "stty size; exit 5" WINCH; tty; while :; do sleep 0.1; done'`,
    );
    await terminal.shows(/\/dev\/pts\/\d/);
    terminal.resize(33, 111);
    await terminal.shows(/^33 111\r+$/m);
    expect(await terminal.exitCode).toBe(5);
  });

  it('sends Ctrl-C to the program in the guest and goes on with what that says', async () => {
    const { options, start } = await box();
    const sleeps = async (seconds: number): Promise<void> => {
      const until = `until pgrep -f -x "sleep ${seconds}"; do sleep 0.05; done`;
      await vmRunner(['exec', 'box', 'sh', '-c', until], options);
    };
    const terminal = start(`vm-runner exec -it box sh -c 'trap "echo not yet" INT; sleep 1001; exit 3'`);
    // A key that comes before it sleeps would be told, and then it would sleep all the same.
    await sleeps(1001);
    terminal.type('\u0003');
    await terminal.shows(/not yet/);
    expect(await terminal.exitCode).toBe(3);
    const ended = start('vm-runner exec -it box sleep 1002; echo "ended with $?"');
    await sleeps(1002);
    ended.type('\u0003');
    await ended.shows(/ended with 130/);
  });

  it('ends the input of the program with Ctrl-D', async () => {
    const { start } = await box();
    const terminal = start(`vm-runner exec -it box sh -c 'echo up; exec cat'`);
    await terminal.shows(/up\r+\n/);
    terminal.type('some words\r');
    await terminal.shows(/some words\r+\nsome words\r+\n/);
    terminal.type('\u0004');
    expect(await terminal.exitCode).toBe(0);
  });

  it('is as it was before when the program has ended', async () => {
    const { start } = await box();
    const terminal = start('vm-runner exec -it box true; stty -a');
    expect(await terminal.exitCode).toBe(0);
    expect(terminal.shown()).toMatch(/ icanon .* echo /s);
  });

  it('attaches a shell to a VM that was kept, which stays', async () => {
    const { options, start } = await box();
    const terminal = start('vm-runner attach -w /tmp box');
    await terminal.shows(/# $/);
    terminal.type('echo $((6*7)) in $PWD; exit 9\r');
    expect(await terminal.exitCode).toBe(9);
    expect(terminal.shown()).toMatch(/42 in \/tmp\r+\n/);
    expect(terminal.shown()).toContain('end it with: vm-runner rm box');
    expect((await vmRunner(['ps', '-q'], options)).stdout).toBe('box\n');
  });

  it('shows what VMs use, anew until Ctrl-C', async () => {
    const { start } = await box();
    const terminal = start('vm-runner stats --interval 200ms; echo "ended with $?"');
    await terminal.shows(/\[H.*\[H.*box +\d+ % +\d+ MiB \/ 512 MiB +\d+ MiB +.*\[H/s);
    terminal.type('\u0003');
    await terminal.shows(/ended with 0/);
  });
});
