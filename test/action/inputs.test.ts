import { describe, expect, it } from 'vitest';

import { INPUT_NAMES, type RawInputs } from '../../src/action/input-table.js';
import { parseInputs, type ActionInputs } from '../../src/action/inputs.js';
import { VmRunnerError } from '../../src/core/errors.js';

function parse(
  given: Partial<RawInputs>,
  variables: readonly string[] = [],
  images: readonly string[] = [],
): ActionInputs {
  const raw = { ...Object.fromEntries(INPUT_NAMES.map((name) => [name, ''])), ...given } as RawInputs;
  return parseInputs(raw, { workspace: '/w', variables, images: new Set(images) });
}

function refusal(given: Partial<RawInputs>, variables: readonly string[] = []): string {
  try {
    parse({ run: 'true', ...given }, variables);
  } catch (error) {
    if (error instanceof VmRunnerError && error.blame === 'user') return error.message;
    throw error;
  }
  return 'accepted';
}

describe('parseInputs', () => {
  it('takes empty inputs for their defaults, and leaves what the VM is to the host', () => {
    expect(parse({ run: 'make' })).toEqual({
      vm: {},
      script: 'make\n',
      shell: undefined,
      env: {},
      workspace: '/w',
      artifacts: { include: [], exclude: [] },
      artifactsPath: undefined,
      timeoutMs: undefined,
      waitMs: undefined,
      provider: 'qemu',
    });
  });

  it('reads all of them', () => {
    const inputs = parse({
      run: '  indented\n',
      image: 'oci:layout',
      pull: 'always',
      template: 'never',
      shell: 'sh',
      env: 'A=1\r\n\nB= two = 2 ',
      cpus: '4',
      memory: '1.5G',
      disk: '8G',
      network: 'none',
      workspace: 'False',
      artifacts: 'out/**\n!out/tmp\n',
      'artifacts-path': 'here/../home',
      'boot-timeout': '2m',
      timeout: '90',
      wait: '0',
      provider: 'fake',
    });
    expect(inputs).toEqual({
      vm: {
        ...{ image: 'oci:/w/layout', pull: 'always', template: 'never', cpus: 4, memoryMiB: 1536, diskMiB: 8192 },
        ...{ network: 'none', bootTimeoutMs: 120_000 },
      },
      script: '  indented\n',
      shell: { words: ['sh', '-e', '{0}'] },
      env: { A: '1', B: ' two = 2 ' },
      workspace: undefined,
      artifacts: { include: ['out/**'], exclude: ['out/tmp'] },
      artifactsPath: '/w/home',
      timeoutMs: 90_000,
      waitMs: 0,
      provider: 'fake',
    });
  });

  it('takes an image that the host file gives a name, whatever its name looks like', () => {
    expect(parse({ run: 'make', image: 'my_build.image' }, [], ['my_build.image']).vm.image).toBe('my_build.image');
  });

  it.each<[Partial<RawInputs>, string]>([
    [{ disk: '1M' }, 'not a disk size: disk: 1M. Give MiB, or a number with K, M, G or T, of at least 64M, as in 8G.'],
    [{ run: '\n' }, 'input is missing: run. Give the script that runs in the VM.'],
    [{ pull: 'often' }, 'not a pull policy: pull: often. Give one of: always, if-not-present, never.'],
    [{ template: 'yes' }, 'not a template policy: template: yes. Give one of: auto, always, never.'],
    [{ cpus: 'two' }, 'not a number of processors: cpus: two. Give a whole number from 1 to 64.'],
    [
      { memory: '2X' },
      'not a memory size: memory: 2X. Give MiB, or a number with K, M, G or T, of at least 128M, as in 2G.',
    ],
    [
      { memory: '64' },
      'not a memory size: memory: 64. Give MiB, or a number with K, M, G or T, of at least 128M, as in 2G.',
    ],
    [{ network: 'hosts' }, 'not a network policy: network: hosts. Give one of: none, open.'],
    [{ workspace: 'copy' }, 'unknown value: workspace: copy. Give true or false.'],
    [{ timeout: '0' }, 'not a duration: timeout: 0. Give seconds, or a number with ms, s, m, h or d, as in 1h30m.'],
    [
      { 'boot-timeout': 'soon' },
      'not a duration: boot-timeout: soon. Give seconds, or a number with ms, s, m, h or d, as in 1h30m.',
    ],
    [
      { wait: 'for ever' },
      'not a duration: wait: for ever. Give 0, seconds, or a number with ms, s, m, h or d, as in 1h30m.',
    ],
    [{ provider: 'tart' }, 'unknown value: provider: tart. Give qemu or fake.'],
    [
      { shell: 'zsh' },
      'not a shell: shell: zsh. Give bash, sh, python3, or a command line with {0} for the path of the script, such as "perl {0}".',
    ],
    [{ artifacts: '../up' }, 'glob with "..": artifacts: ../up. Give the path without it.'],
    [{ artifacts: '!a' }, 'nothing to bring home: artifacts: !a. Give at least one glob without "!".'],
  ])('refuses %j in one sentence', (given, sentence) => {
    expect(refusal(given)).toBe(sentence);
  });

  it('never tells the text of a line of env', () => {
    const sentence = refusal({ env: 'GOOD=1\nhunter2\n2BAD=hunter3' });
    expect(sentence).toContain('env, line 2');
    expect(sentence).toContain('env, line 3');
    expect(sentence).not.toContain('hunter');
  });

  it("finds misspelt inputs, and leaves variables alone that are the workflow's own", () => {
    expect(refusal({}, ['INPUT_BOOT_TIMEOUT'])).toBe('no such input: boot_timeout. Did you mean "boot-timeout"?');
    expect(refusal({}, ['INPUT_MEMROY'])).toBe('no such input: memroy. Did you mean "memory"?');
    expect(refusal({}, ['INPUT_VERSION', 'INPUT_RUNS', 'INPUT_TAG', 'MEMROY', 'INPUT_RUN'])).toBe('accepted');
  });
});
