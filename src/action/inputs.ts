import path from 'node:path';

import { combineInputErrors, VmRunnerError } from '../core/errors.js';
import { DEFAULT_IMAGE, NETWORK_POLICIES, type VmRequest } from '../core/job.js';
import { parseDuration, parseSize } from '../core/units.js';
import { parseArtifacts, type Artifacts } from './artifacts.js';
import { parseEnv } from './env-input.js';
import { INPUTS, type InputName, type RawInputs } from './input-table.js';
import { parseShell, type Shell } from './shell.js';
import { misspeltInputs } from './unknown-inputs.js';

/** What the workflow asked for, complete and checked. */
export interface ActionInputs {
  readonly vm: VmRequest;
  readonly script: string;
  /** `undefined`: the script's own `#!` line, else `bash -e`. */
  readonly shell: Shell | undefined;
  readonly env: Readonly<Record<string, string>>;
  /** Host directory that is copied to the same path in the guest and is the working directory; `undefined`: none. */
  readonly workspace: string | undefined;
  readonly artifacts: Artifacts;
  /** Absolute; `undefined`: a fresh directory. */
  readonly artifactsPath: string | undefined;
  readonly bootTimeoutMs: number;
  /** `undefined`: the script has no end of its own. */
  readonly timeoutMs: number | undefined;
  readonly provider: string;
}

/** Providers that a workflow may name. */
const PROVIDERS = ['qemu', 'fake'] as const;
/** A Linux kernel with our initramfs does not come up in less. */
const SMALLEST_MEMORY_MIB = 128;
const MOST_CPUS = 64;
const MIB = 2 ** 20;

/**
 * Reads all inputs in one pass.
 * @param context `workspace` is GITHUB_WORKSPACE, where relative host paths start; `variables` are the names of all
 * environment variables, among which misspelt inputs are found
 * @throws invalid-input or image-unavailable: all mistakes in one error.
 */
export function parseInputs(
  given: RawInputs,
  { workspace, variables }: { readonly workspace: string | undefined; readonly variables: readonly string[] },
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
  const image = check(() => parseImage(raw('image')));
  const shell = check(() => parseShell(raw('shell')));
  const env = parseEnv(given.env, mistakes);
  const cpus = check(() => parseCpus(raw('cpus')));
  const memoryMiB = check(() => parseMemory(raw('memory')));
  const network = check(() => oneOf('network', raw('network'), NETWORK_POLICIES));
  const wantsWorkspace =
    check(() => oneOf('workspace', raw('workspace').toLowerCase(), ['true', 'false'] as const)) === 'true';
  const copied = check(() => (wantsWorkspace ? parseWorkspace(workspace) : undefined));
  const artifacts = parseArtifacts(raw('artifacts'), mistakes);
  const artifactsPath = check(() => hostPath('artifacts-path', raw('artifacts-path'), workspace));
  const bootTimeoutMs = check(() => duration('boot-timeout', raw('boot-timeout')));
  const timeoutMs = check(() => (raw('timeout') === '' ? undefined : duration('timeout', raw('timeout'))));
  const provider = check(() => oneOf('provider', raw('provider'), PROVIDERS));

  const error = combineInputErrors(mistakes);
  if (error !== undefined) throw error;
  return {
    vm: { image: need(image), cpus, memoryMiB: need(memoryMiB), network: need(network) },
    script: need(script),
    shell,
    env,
    workspace: copied,
    artifacts,
    artifactsPath,
    bootTimeoutMs: need(bootTimeoutMs),
    timeoutMs,
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

function parseImage(reference: string): string {
  if (reference === DEFAULT_IMAGE) return reference;
  throw new VmRunnerError('image-unavailable', 'no such image', {
    subject: `image: ${reference}`,
    hint: `Only the image "${DEFAULT_IMAGE}" exists today: leave the input out.`,
  });
}

function parseCpus(text: string): number | undefined {
  if (text === '') return undefined;
  const cpus = Number(text);
  if (/^\d+$/.test(text) && cpus >= 1 && cpus <= MOST_CPUS) return cpus;
  throw mistake('not a number of processors', 'cpus', text, `Give a whole number from 1 to ${MOST_CPUS}.`);
}

function parseMemory(text: string): number {
  const bytes = parseSize(text);
  if (bytes === undefined)
    throw mistake('not a size', 'memory', text, 'Give a number of MiB, or one with K, M or G, such as 4G.');
  const mib = Math.floor(bytes / MIB);
  if (mib >= SMALLEST_MEMORY_MIB) return mib;
  throw mistake('too little memory for a VM', 'memory', text, `Give at least ${SMALLEST_MEMORY_MIB}M.`);
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

function duration(name: InputName, text: string): number {
  const milliseconds = parseDuration(text);
  if (milliseconds !== undefined && milliseconds > 0) return milliseconds;
  throw mistake(
    'not a duration',
    name,
    text,
    'Give a number of seconds, or one with ms, s, m, h or d, such as 90s or 1h30m.',
  );
}

function oneOf<T extends string>(name: InputName, text: string, allowed: readonly T[]): T {
  const found = allowed.find((value) => value === text);
  if (found !== undefined) return found;
  throw mistake('unknown value', name, text, `Give ${allowed.join(' or ')}.`);
}

function mistake(reason: string, name: InputName, text: string, hint: string): VmRunnerError {
  return new VmRunnerError('invalid-input', reason, { subject: `${name}: ${text}`, hint });
}
