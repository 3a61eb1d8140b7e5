import { access, constants, readFile } from 'node:fs/promises';
import path from 'node:path';

import type { HostConfig } from '../config/host-config.js';
import { combineInputErrors, toVmRunnerError, VmRunnerError } from '../core/errors.js';
import { DEFAULT_IMAGE, MOST_SCRIPT_BYTES, type Program } from '../core/job.js';
import { CPUS, DISK, DURATION, GUEST_PATH, MEMORY, NETWORK, PULL, TEMPLATE, USER, WAIT } from '../core/values.js';
import { orderVm, type VmOrder, type VmWishes } from '../stages/order.js';
import { randomVmName } from '../stages/name.js';
import { replaceableFile } from '../store/whole-file.js';
import { readEnvironment } from './environment.js';
import type { ParsedFlags } from './flags.js';
import { DEFAULT_PROVIDER } from './host.js';
import { readReference } from './image-reference.js';
import type { StreamSettings } from './streams.js';
import { readGet, readPut, type Get, type Put } from './transfers.js';
import { Values, VM_NAME } from './values.js';
import type { World } from './world.js';

/** Settings of a program in the guest, as `run` and `exec` take them. */
export interface ProgramSettings extends StreamSettings {
  readonly env: Readonly<Record<string, string>>;
  readonly workdir: string | undefined;
  readonly user: string | undefined;
  readonly timeoutMs: number | undefined;
}

/** Settings of the VM, as everything takes them that makes one. */
export interface VmSettings {
  readonly order: VmOrder;
  /** `undefined`: as long as the host file says. */
  readonly waitMs: number | undefined;
  readonly provider: string;
  readonly quiet: boolean;
}

export interface RunSettings extends ProgramSettings, VmSettings {
  /** `undefined`: the image's own; `['']`: none. */
  readonly entrypoint: readonly string[] | undefined;
  readonly init: readonly string[] | undefined;
  readonly name: string;
  readonly program: Program;
  readonly workspace: string | undefined;
  readonly puts: readonly Put[];
  readonly gets: readonly Get[];
  readonly keep: boolean;
  readonly report: string | undefined;
}

/** @throws invalid-input that names every mistake. */
export async function readRunSettings(flags: ParsedFlags, world: World): Promise<RunSettings> {
  const mistakes: VmRunnerError[] = [];
  const values = new Values(flags, mistakes);
  const made = readVmSettings(flags, values, { cwd: world.cwd, config: await world.config() }, mistakes);
  const program = await readProgramSettings(flags, world, mistakes);
  const settings = {
    ...program,
    ...made,
    user: program.user ?? made.order.user,
    entrypoint: flags.has('entrypoint') ? [flags.value('entrypoint') ?? ''] : undefined,
    init: flags.has('init') ? [values.read(GUEST_PATH, 'init') ?? ''] : undefined,
    name: values.read(VM_NAME, 'name') ?? randomVmName(),
    program: await readProgram(flags, world, made.order.vm.image, mistakes),
    workspace: flags.has('workspace') ? world.cwd : undefined,
    puts: present(await Promise.all(flags.all('put').map((text) => readPut(text, world.cwd, mistakes)))),
    gets: present(flags.all('get').map((text) => readGet(text, world.cwd, mistakes))),
    keep: flags.has('keep'),
    report: flags.has('report') ? path.resolve(world.cwd, flags.value('report') ?? '') : undefined,
  };
  if (settings.interactive && flags.value('script') === '-') {
    mistakes.push(
      new VmRunnerError('invalid-input', 'standard input is used twice', {
        subject: '--script - with --interactive',
        hint: 'Put the script into a file.',
      }),
    );
  }
  const isHomeless = settings.order.vm.image === DEFAULT_IMAGE && settings.user !== undefined;
  if (isHomeless && settings.workdir === undefined && settings.workspace === undefined) {
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

/** @param imageFlag which flag names the image */
export function readVmSettings(
  flags: ParsedFlags,
  values: Values,
  { cwd, config }: { readonly cwd: string; readonly config: HostConfig },
  mistakes: VmRunnerError[],
  imageFlag = 'image',
): VmSettings {
  const wishes = {
    image: readImage(flags.value(imageFlag), cwd, config, mistakes),
    pull: values.read(PULL, 'pull'),
    template: values.read(TEMPLATE, 'template'),
    cpus: values.read(CPUS, 'cpus'),
    memoryMiB: values.read(MEMORY, 'memory'),
    diskMiB: values.read(DISK, 'disk'),
    network: values.read(NETWORK, 'network'),
    bootTimeoutMs: values.read(DURATION, 'boot-timeout'),
  };
  return {
    order: readOrder(config, wishes, mistakes),
    waitMs: values.read(WAIT, 'wait'),
    provider: flags.value('provider') ?? DEFAULT_PROVIDER,
    quiet: flags.has('quiet'),
  };
}

/** `undefined` when none was named, or none that can be read. */
function readImage(
  text: string | undefined,
  cwd: string,
  { images }: HostConfig,
  mistakes: VmRunnerError[],
): string | undefined {
  if (text === undefined || images.has(text)) return text;
  const before = mistakes.length;
  const reference = readReference(text, cwd, mistakes);
  return mistakes.length === before ? reference : undefined;
}

/** With all that is not allowed among the mistakes; what is put together then is not used. */
function readOrder(config: HostConfig, wishes: VmWishes, mistakes: VmRunnerError[]): VmOrder {
  try {
    return orderVm(config, wishes);
  } catch (error) {
    mistakes.push(toVmRunnerError(error));
    return orderVm({ ...config, limits: {} }, wishes);
  }
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

async function readProgram(
  flags: ParsedFlags,
  world: World,
  image: string,
  mistakes: VmRunnerError[],
): Promise<Program> {
  const script = flags.value('script');
  if (script === undefined) {
    // Other images may have a command of their own.
    if (flags.program.length === 0 && image === DEFAULT_IMAGE) {
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
