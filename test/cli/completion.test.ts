import { execFileSync } from 'node:child_process';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import { COMMANDS } from '../../src/cli/catalog.js';
import { candidates } from '../../src/cli/completion/candidates.js';
import { vmRunner } from '../support/command-line.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

const BUNDLE = path.resolve(import.meta.dirname, '../../dist/cli/index.js');

describe('candidates', () => {
  const offered = (line: string): Promise<readonly string[]> =>
    candidates(COMMANDS, line.split(' '), (kind) => Promise.resolve([`a-${kind}`, `b-${kind}`]));

  it.each([
    ['im', ['images', 'image']],
    ['image p', ['pull', 'prepare']],
    ['image pull ', ['a-image', 'b-image']],
    ['help image i', ['inspect', 'import']],
    ['rm a', ['a-vm']],
    ['logs --tail 5 b', ['b-vm-or-ended']],
    ['run --net', ['--network']],
    ['run --network ', ['none', 'open']],
    ['run --network=o', ['--network=open']],
    ['run --network none --net', []],
    ['run --env A=1 --env', ['--env', '--env-file']],
    ['run --script ', [':file']],
    ['run --script=bui', [':file']],
    ['run --name ', []],
    ['run -- ls ', [':file']],
    ['exec a-vm ls ', [':file']],
    ['exec -i ', ['a-vm', 'b-vm']],
    ['cp ', ['a-vm:/', 'b-vm:/', ':file']],
    ['cp a-vm:/et', []],
    ['completion z', ['zsh']],
    ['nonsense ', []],
  ])('of "%s" are %j', async (line, expected) => {
    expect(await offered(line)).toEqual(expected);
  });

  it('know the flags of every command', async () => {
    for (const { name, flags } of COMMANDS) {
      expect(await offered(`${name} --`), name).toEqual(expect.arrayContaining(flags.map((flag) => `--${flag.name}`)));
    }
  });
});

interface Shells {
  readonly home: string;
  readonly cwd: string;
  /** What a shell prints, line by line. */
  readonly ask: (shell: string, args: readonly string[]) => readonly string[];
}

/** A host with a VM, and `vm-runner` in the search path. */
async function shells(): Promise<Shells> {
  const cwd = await temporaryDirectory();
  const home = path.join(cwd, 'home');
  await mkdir(path.join(cwd, 'bin'));
  await symlink(BUNDLE, path.join(cwd, 'bin/vm-runner'));
  await writeFile(path.join(cwd, 'build.sh'), '');
  const made = await vmRunner(['run', '--provider', 'fake', '-q', '--keep', '--name', 'box', '--', 'true'], { home });
  expect(made, made.stderr).toMatchObject({ exitCode: 0 });
  onTestFinished(() => vmRunner(['rm', '-f', 'box'], { home }).then(() => undefined));
  const env = { PATH: `${cwd}/bin:${process.env['PATH'] ?? ''}`, HOME: cwd, VM_RUNNER_HOME: home };
  const ask = (shell: string, args: readonly string[]): readonly string[] =>
    execFileSync(shell, args, { cwd, env, encoding: 'utf8' })
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '');
  return { home, cwd, ask };
}

describe('in a shell', () => {
  const LINES: readonly (readonly [line: string, offered: string])[] = [
    ['vm-runner image pu', 'pull'],
    ['vm-runner exec bo', 'box'],
    ['vm-runner run --network=n', '--network=none'],
    ['vm-runner run --script bui', 'build.sh'],
    ['vm-runner cp box', 'box:/'],
  ];

  it('bash completes', async () => {
    const { ask } = await shells();
    const script = `source <(vm-runner completion bash)
      COMP_LINE=$1 COMP_POINT=\${#1} COMP_WORDBREAKS=$' \\t\\n'
      _vm_runner; printf '%s\\n' "\${COMPREPLY[@]}"`;
    for (const [line, offered] of LINES) expect(ask('bash', ['-c', script, 'bash', line]), line).toEqual([offered]);
  });

  it('bash gets what is behind the sign at which it breaks words', async () => {
    const { ask } = await shells();
    const script = `source <(vm-runner completion bash)
      COMP_LINE='vm-runner run --network=n' COMP_POINT=25
      _vm_runner; printf '%s\\n' "\${COMPREPLY[@]}"`;
    expect(ask('bash', ['-c', script])).toEqual(['none']);
  });

  it('zsh completes', async () => {
    const { ask } = await shells();
    // The builtins of its completion work in its line editor alone.
    const script = `compdef() { : }; compadd() { shift; print -l -- "$@" }; _files() { print -l -- $words[CURRENT]*(N) }
      source <(vm-runner completion zsh)
      words=("\${(@s: :)1}"); CURRENT=$#words; _vm_runner`;
    for (const [line, offered] of LINES) expect(ask('zsh', ['-f', '-c', script, 'zsh', line]), line).toEqual([offered]);
  });

  it('fish completes', async () => {
    const { ask } = await shells();
    const script = 'vm-runner completion fish | source; complete -C $argv[1]';
    for (const [line, offered] of LINES) expect(ask('fish', ['-N', '-c', script, line]), line).toEqual([offered]);
  });

  it('nothing is said where the store cannot be read', async () => {
    const cwd = await temporaryDirectory();
    await writeFile(path.join(cwd, 'no-store'), '');
    const at = { home: path.join(cwd, 'no-store'), cwd };
    expect(await vmRunner(['__complete', '--', 'exec', ''], at)).toEqual({ exitCode: 0, stdout: '', stderr: '' });
  });

  it('there is no script for another shell', async () => {
    const { exitCode, stderr } = await vmRunner(['completion', 'tcsh'], { home: await temporaryDirectory() });
    expect({ exitCode, stderr }).toEqual({
      exitCode: 125,
      stderr: 'vm-runner: error[invalid-input]: no completion for this shell: tcsh. Give one of: bash, zsh, fish.\n',
    });
  });
});
