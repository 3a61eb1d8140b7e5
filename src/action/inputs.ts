import path from 'node:path';

import { combineInputErrors, VmRunnerError } from '../core/errors.js';
import {
  CPUS,
  DISK,
  DURATION,
  MEMORY,
  NETWORK,
  PULL,
  readValue,
  TEMPLATE,
  WAIT,
  type ValueKind,
} from '../core/values.js';
import { parseReference } from '../images/reference.js';
import type { VmWishes } from '../stages/order.js';
import { parseArtifacts, type Artifacts } from './artifacts.js';
import { parseEnv } from './env-input.js';
import { INPUTS, type InputName, type RawInputs } from './input-table.js';
import { parseShell, type Shell } from './shell.js';
import { misspeltInputs } from './unknown-inputs.js';

/** What the workflow asked for, complete and checked. */
export interface ActionInputs {
  /** What is left out is left to the host. */
  readonly vm: VmWishes;
  readonly script: string;
  /** `undefined`: the script's own `#!` line, else `bash -e`. */
  readonly shell: Shell | undefined;
  readonly env: Readonly<Record<string, string>>;
  /** Host directory that is copied to the same path in the guest and is the working directory; `undefined`: none. */
  readonly workspace: string | undefined;
  readonly artifacts: Artifacts;
  /** Absolute; `undefined`: a fresh directory. */
  readonly artifactsPath: string | undefined;
  /** `undefined`: the script has no end of its own. */
  readonly timeoutMs: number | undefined;
  /** `undefined`: as the host file says. */
  readonly waitMs: number | undefined;
  readonly provider: string;
}

/** Providers that a workflow may name. */
const PROVIDERS = ['qemu', 'fake'] as const;

/**
 * Reads all inputs in one pass.
 * @param context `workspace` is GITHUB_WORKSPACE, where relative host paths start; `variables` are the names of all
 * environment variables, among which misspelt inputs are found; `images` are those that the host file gives a name
 * @throws invalid-input: all mistakes in one error.
 */
export function parseInputs(
  given: RawInputs,
  {
    workspace,
    variables,
    images,
  }: {
    readonly workspace: string | undefined;
    readonly variables: readonly string[];
    readonly images: Pick<ReadonlySet<string>, 'has'>;
  },
): ActionInputs {
  // An expression that came out empty (`cpus: ${{ inputs.cpus }}`) means the default, not nothing.
  const raw = (name: InputName): string =>
    given[name].trim() === '' ? (INPUTS[name].default ?? '') : given[name].trim();
  const mistakes = misspeltInputs(variables);
  const check = <T>(parse: () => T): T | undefined => {
    try {
      return parse();
    } catch (error) {
      if (!(error instanceof VmRunnerError)) throw error;
      mistakes.push(error);
      return undefined;
    }
  };

  const script = check(() => parseScript(given.run));
  const image = check(() => (images.has(raw('image')) ? raw('image') : parseImage(raw('image'), workspace)));
  const pull = check(() => optionalValue(PULL, 'pull', raw('pull')));
  const template = check(() => optionalValue(TEMPLATE, 'template', raw('template')));
  const shell = check(() => parseShell(raw('shell')));
  const env = parseEnv(given.env, mistakes);
  const cpus = check(() => optionalValue(CPUS, 'cpus', raw('cpus')));
  const memoryMiB = check(() => optionalValue(MEMORY, 'memory', raw('memory')));
  const diskMiB = check(() => optionalValue(DISK, 'disk', raw('disk')));
  const network = check(() => optionalValue(NETWORK, 'network', raw('network')));
  const wantsWorkspace =
    check(() => oneOf('workspace', raw('workspace').toLowerCase(), ['true', 'false'] as const)) === 'true';
  const copied = check(() => (wantsWorkspace ? parseWorkspace(workspace) : undefined));
  const artifacts = parseArtifacts(raw('artifacts'), mistakes);
  const artifactsPath = check(() => hostPath('artifacts-path', raw('artifacts-path'), workspace));
  const bootTimeoutMs = check(() => optionalValue(DURATION, 'boot-timeout', raw('boot-timeout')));
  const waitMs = check(() => optionalValue(WAIT, 'wait', raw('wait')));
  const timeoutMs = check(() => optionalValue(DURATION, 'timeout', raw('timeout')));
  const provider = check(() => oneOf('provider', raw('provider'), PROVIDERS));

  const error = combineInputErrors(mistakes);
  if (error !== undefined) throw error;
  return {
    vm: { image, pull, template, cpus, memoryMiB, diskMiB, network, bootTimeoutMs },
    script: need(script),
    shell,
    env,
    workspace: copied,
    artifacts,
    artifactsPath,
    timeoutMs,
    waitMs,
    provider: need(provider),
  };
}

/** A value whose check passed: there were no mistakes. */
function need<T>(value: T | undefined): T {
  if (value === undefined) throw new VmRunnerError('internal', 'an input was neither read nor refused');
  return value;
}

function parseScript(text: string): string {
  if (text.trim() !== '') return text.endsWith('\n') ? text : `${text}\n`;
  throw new VmRunnerError('invalid-input', 'input is missing', {
    subject: 'run',
    hint: 'Give the script that runs in the VM.',
  });
}

/** A reference, with its path absolute. */
function parseImage(text: string, workspace: string | undefined): string | undefined {
  if (text === '') return undefined;
  const [, kind, place] = /^(oci|docker-archive|rootfs):(.+)$/s.exec(text) ?? [];
  const isFile = kind !== undefined && place !== undefined;
  const reference = isFile ? `${kind}:${hostPath('image', place, workspace) ?? place}` : text;
  parseReference(reference);
  return reference;
}

function parseWorkspace(workspace: string | undefined): string {
  if (workspace !== undefined && path.isAbsolute(workspace)) return workspace;
  throw new VmRunnerError('invalid-input', 'the runner names no workspace to copy', {
    subject: 'workspace: true',
    hint: 'Set GITHUB_WORKSPACE to an absolute path, or give workspace: false.',
  });
}

function hostPath(name: InputName, text: string, workspace: string | undefined): string | undefined {
  if (text === '') return undefined;
  if (path.isAbsolute(text)) return path.normalize(text);
  if (workspace !== undefined) return path.join(workspace, text);
  throw mistake('relative path without a workspace', name, text, 'Give an absolute path.');
}

function value<T>(kind: ValueKind<T>, name: InputName, text: string): T {
  return readValue(kind, text, `${name}: ${text}`);
}

function optionalValue<T>(kind: ValueKind<T>, name: InputName, text: string): T | undefined {
  return text === '' ? undefined : value(kind, name, text);
}

function oneOf<T extends string>(name: InputName, text: string, allowed: readonly T[]): T {
  const found = allowed.find((value) => value === text);
  if (found !== undefined) return found;
  throw mistake('unknown value', name, text, `Give ${allowed.join(' or ')}.`);
}

function mistake(reason: string, name: InputName, text: string, hint: string): VmRunnerError {
  return new VmRunnerError('invalid-input', reason, { subject: `${name}: ${text}`, hint });
}
