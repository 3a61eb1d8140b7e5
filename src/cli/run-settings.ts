import { access, constants, readFile } from 'node:fs/promises';
import path from 'node:path';

import { combineInputErrors, VmRunnerError } from '../core/errors.js';
import {
  DEFAULT_BOOT_TIMEOUT_MS,
  DEFAULT_IMAGE,
  DEFAULT_MEMORY_MIB,
  MOST_SCRIPT_BYTES,
  type Program,
  type VmRequest,
} from '../core/job.js';
import { CPUS, DURATION, GUEST_PATH, MEMORY, NETWORK } from '../core/values.js';
import { randomVmName } from '../stages/name.js';
import { replaceableFile } from '../store/whole-file.js';
import { readEnvironment } from './environment.js';
import type { Flag, ParsedFlags } from './flags.js';
import { DEFAULT_PROVIDER } from './host.js';
import type { StreamSettings } from './streams.js';
import { readGet, readPut, type Get, type Put } from './transfers.js';
import { USER, Values, VM_NAME } from './values.js';
import type { World } from './world.js';

/** Flags of what a program in the guest gets; `run` and `exec` share them. */
export const PROGRAM_FLAGS: readonly Flag[] = [
  {
    name: 'env',
    short: 'e',
    value: 'K=V',
    repeatable: true,
    doc: 'Set a variable for the program; K alone takes our value',
  },
  {
    name: 'env-file',
    value: 'FILE',
    repeatable: true,
    doc: 'Set variables from a file with a K=V on each line; --env wins',
  },
  { name: 'workdir', short: 'w', value: 'DIR', doc: 'Working directory in the guest (default: the home of the user)' },
  {
    name: 'user',
    short: 'u',
    value: 'USER',
    doc: 'User in the guest: name, uid, name:group or uid:gid (default: root)',
  },
  { name: 'interactive', short: 'i', doc: 'Give the program our standard input' },
  { name: 'tty', short: 't', doc: 'Give the program a terminal' },
  { name: 'timeout', value: 'TIME', doc: 'End the program after this time, with exit code 124 (default: never)' },
];

export const RUN_FLAGS: readonly Flag[] = [
  { name: 'image', value: 'REF', doc: `Image to boot; this version has only "${DEFAULT_IMAGE}"` },
  {
    name: 'cpus',
    value: 'N',
    doc: 'Virtual processors (default: 1 under software emulation, 2 with hardware acceleration)',
  },
  { name: 'memory', value: 'SIZE', doc: 'Memory: MiB, or with K, M, G (default: 2G)' },
  {
    name: 'network',
    value: 'POLICY',
    doc: 'none, or open: all that this host can reach, and this host itself (default: open)',
  },
  ...PROGRAM_FLAGS,
  {
    name: 'script',
    value: 'FILE',
    doc: 'Run this script (- is our standard input): by its #! line, else bash -e, else sh -e',
  },
  { name: 'workspace', doc: 'Copy the current directory to the same path in the guest, and work there' },
  {
    name: 'put',
    value: 'SRC:DST',
    repeatable: true,
    doc: 'Copy a file or directory into the guest first; DST is the new name itself',
  },
  {
    name: 'get',
    value: 'GLOB[:DIR]',
    repeatable: true,
    doc: 'Bring what matches in the guest home afterwards, also when the program failed',
  },
  { name: 'name', value: 'NAME', doc: 'Name of the VM (default: made up)' },
  { name: 'boot-timeout', value: 'TIME', doc: 'How long the guest may take to boot (default: 120s)' },
  { name: 'keep', doc: 'Leave the VM running afterwards, for a day at most' },
  { name: 'report', value: 'FILE', doc: 'Write what happened to a JSON file' },
  {
    name: 'provider',
    value: 'NAME',
    doc: 'What makes the VM: qemu, or fake (no VM: a dry run of the stages on this host)',
  },
  { name: 'quiet', short: 'q', doc: 'Say nothing but warnings and errors' },
];

/** Settings of a program in the guest, as `run` and `exec` take them. */
export interface ProgramSettings extends StreamSettings {
  readonly env: Readonly<Record<string, string>>;
  readonly workdir: string | undefined;
  readonly user: string | undefined;
  readonly timeoutMs: number | undefined;
}

export interface RunSettings extends ProgramSettings {
  readonly vm: VmRequest;
  readonly name: string;
  readonly program: Program;
  readonly workspace: string | undefined;
  readonly puts: readonly Put[];
  readonly gets: readonly Get[];
  readonly bootTimeoutMs: number;
  readonly keep: boolean;
  readonly report: string | undefined;
  readonly provider: string;
  readonly quiet: boolean;
}

/** @throws invalid-input that names every mistake. */
export async function readRunSettings(flags: ParsedFlags, world: World): Promise<RunSettings> {
  const mistakes: VmRunnerError[] = [];
  const values = new Values(flags, mistakes);
  const settings = {
    ...(await readProgramSettings(flags, world, mistakes)),
    vm: {
      image: flags.value('image') ?? DEFAULT_IMAGE,
      cpus: values.read(CPUS, 'cpus'),
      memoryMiB: values.read(MEMORY, 'memory') ?? DEFAULT_MEMORY_MIB,
      network: values.read(NETWORK, 'network') ?? 'open',
    },
    name: values.read(VM_NAME, 'name') ?? randomVmName(),
    program: await readProgram(flags, world, mistakes),
    workspace: flags.has('workspace') ? world.cwd : undefined,
    puts: present(await Promise.all(flags.all('put').map((text) => readPut(text, world.cwd, mistakes)))),
    gets: present(flags.all('get').map((text) => readGet(text, world.cwd, mistakes))),
    bootTimeoutMs: values.read(DURATION, 'boot-timeout') ?? DEFAULT_BOOT_TIMEOUT_MS,
    keep: flags.has('keep'),
    report: flags.has('report') ? path.resolve(world.cwd, flags.value('report') ?? '') : undefined,
    provider: flags.value('provider') ?? DEFAULT_PROVIDER,
    quiet: flags.has('quiet'),
  };
  if (settings.interactive && flags.value('script') === '-') {
    mistakes.push(
      new VmRunnerError('invalid-input', 'standard input is used twice', {
        subject: '--script - with --interactive',
        hint: 'Put the script into a file.',
      }),
    );
  }
  if (settings.user !== undefined && settings.workdir === undefined && settings.workspace === undefined) {
    for (const path of [...settings.puts.map((put) => put.target), ...settings.gets.map((get) => get.glob)]) {
      if (!path.startsWith('/')) mistakes.push(homeless(path));
    }
  }
  await checkReport(settings.report, mistakes);
  const error = combineInputErrors(mistakes);
  if (error !== undefined) throw error;
  return settings;
}

/** Told now, and not when the job has run. */
async function checkReport(file: string | undefined, mistakes: VmRunnerError[]): Promise<void> {
  if (file === undefined) return;
  try {
    await replaceableFile(file);
    await access(path.dirname(file), constants.W_OK);
  } catch (cause) {
    mistakes.push(
      cause instanceof VmRunnerError
        ? cause
        : new VmRunnerError('invalid-input', 'cannot write the report there', {
            subject: file,
            hint: 'Name a file in a directory that exists and may be written.',
            cause,
          }),
    );
  }
}

/** Only the guest knows where a user's home is, and files are copied before anything runs there. */
function homeless(path: string): VmRunnerError {
  return new VmRunnerError('invalid-input', 'relative path in the guest with --user', {
    subject: path,
    hint: 'Begin it with a slash, or say where it starts with --workdir.',
  });
}

export async function readProgramSettings(
  flags: ParsedFlags,
  world: World,
  mistakes: VmRunnerError[],
): Promise<ProgramSettings> {
  const values = new Values(flags, mistakes);
  return {
    env: await readEnvironment(
      flags.all('env-file').map((file) => path.resolve(world.cwd, file)),
      flags.all('env'),
      world.env,
      mistakes,
    ),
    workdir: values.read(GUEST_PATH, 'workdir'),
    user: values.read(USER, 'user'),
    timeoutMs: values.read(DURATION, 'timeout'),
    interactive: flags.has('interactive'),
    tty: flags.has('tty'),
  };
}

async function readProgram(flags: ParsedFlags, world: World, mistakes: VmRunnerError[]): Promise<Program> {
  const script = flags.value('script');
  if (script === undefined) {
    if (flags.program.length === 0) {
      mistakes.push(
        new VmRunnerError('invalid-input', 'nothing to run', {
          hint: 'Give a program behind --, or a script with --script FILE.',
        }),
      );
    }
    return { kind: 'argv', argv: flags.program };
  }
  try {
    const content = script === '-' ? await readAll(world.stdin) : await readFile(path.resolve(world.cwd, script));
    if (content.length > MOST_SCRIPT_BYTES) {
      mistakes.push(
        new VmRunnerError('invalid-input', 'script is larger than 4 MiB', {
          subject: script,
          hint: 'Copy it in with --put, and run it there.',
        }),
      );
    }
    return { kind: 'script', content, args: flags.program };
  } catch (cause) {
    mistakes.push(
      new VmRunnerError('invalid-input', 'cannot read the script', {
        subject: script,
        hint: 'Check that the file exists and is readable.',
        cause,
      }),
    );
    return { kind: 'script', content: new Uint8Array(), args: [] };
  }
}

async function readAll(stream: AsyncIterable<Uint8Array | string>): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

function present<T>(values: readonly (T | undefined)[]): T[] {
  return values.filter((value) => value !== undefined);
}
