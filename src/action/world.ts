import { readFileSync } from 'node:fs';
import os from 'node:os';
import type { Writable } from 'node:stream';

import type { RegistryConfig } from '../config/host-config.js';
import type { HostEnvironment } from '../config/load.js';
import type { BuildHost } from '../images/debian/bootstrap.js';
import { registriesOf } from '../images/registry/environment.js';
import type { RegistryOptions } from '../images/registry/options.js';
import type { HomeEnvironment } from '../store/home.js';
import { INPUT_NAMES, type InputName, type RawInputs } from './input-table.js';
import type { Runner } from './runner.js';

/** All that the runner told the step, read once by the entries. Nothing below them looks at `process`. */
export interface ActionWorld {
  readonly inputs: RawInputs;
  /** Names of all environment variables, to find misspelt inputs. */
  readonly variables: readonly string[];
  /** GITHUB_WORKSPACE. */
  readonly workspace: string | undefined;
  /** RUNNER_TEMP: emptied by the runner around each job. */
  readonly temporary: string;
  readonly hasToolCache: boolean;
  readonly hasSummary: boolean;
  /** A machine of GitHub's, which no later job sees. */
  readonly isThrownAway: boolean;
  readonly store: HomeEnvironment;
  /** With what docker/login-action wrote, and the runner's proxies. */
  readonly registries: (config: RegistryConfig) => RegistryOptions;
  readonly uid: number | undefined;
  readonly host: BuildHost;
  /** Where the host file is, and what wins over it. */
  readonly hostFile: HostEnvironment;
  /** The runner's worker: when it is gone, so is the job. */
  readonly parentPid: number;
  /** The file that Node was started with. */
  readonly entry: string;
  /** The Node that runs us. */
  readonly node: string;
  /** `owner/repository run 42 job build`, for people who look at the VMs of a host. */
  readonly job: string | undefined;
  readonly stdout: Writable;
}

/** What of `process` is read. */
export type ProcessLike = Pick<NodeJS.Process, 'arch' | 'argv' | 'env' | 'execPath' | 'platform' | 'ppid'> & {
  readonly stdout: Writable;
  readonly getuid?: (() => number) | undefined;
};

export function readWorld(from: ProcessLike, runner: Pick<Runner, 'getInput'>): ActionWorld {
  const { env } = from;
  const uid = from.getuid?.();
  // A script and its environment keep their spaces: Python and passwords depend on them.
  const read = (name: InputName): [InputName, string] => [name, runner.getInput(name, { trimWhitespace: false })];
  return {
    inputs: Object.fromEntries(INPUT_NAMES.map(read)) as RawInputs,
    variables: Object.keys(env),
    workspace: given(env['GITHUB_WORKSPACE']),
    temporary: given(env['RUNNER_TEMP']) ?? os.tmpdir(),
    hasToolCache: given(env['RUNNER_TOOL_CACHE']) !== undefined,
    hasSummary: given(env['GITHUB_STEP_SUMMARY']) !== undefined,
    isThrownAway: env['RUNNER_ENVIRONMENT'] === 'github-hosted',
    store: { VM_RUNNER_HOME: env['VM_RUNNER_HOME'], XDG_DATA_HOME: env['XDG_DATA_HOME'], HOME: env['HOME'] },
    registries: (config) => registriesOf(env, config),
    hostFile: {
      VM_RUNNER_CONFIG: env['VM_RUNNER_CONFIG'],
      XDG_CONFIG_HOME: env['XDG_CONFIG_HOME'],
      HOME: env['HOME'],
      VM_RUNNER_QEMU: env['VM_RUNNER_QEMU'],
      VM_RUNNER_ISOLATE_TEMPLATES: env['VM_RUNNER_ISOLATE_TEMPLATES'],
    },
    uid,
    host: { platform: from.platform, architecture: from.arch, uid: uid ?? -1, osRelease: readOsRelease() },
    parentPid: from.ppid,
    entry: from.argv[1] ?? '',
    node: from.execPath,
    job: describeJob(env),
    stdout: from.stdout,
  };
}

function readOsRelease(): string {
  try {
    return readFileSync('/etc/os-release', 'utf8');
  } catch {
    // Not every system has one; it only decides which packages are missing.
    return '';
  }
}

function describeJob(env: NodeJS.ProcessEnv): string | undefined {
  const parts = [
    env['GITHUB_REPOSITORY'],
    labelled('run', env['GITHUB_RUN_ID']),
    labelled('job', env['GITHUB_JOB']),
  ].filter((part) => part !== undefined && part !== '');
  return parts.length === 0 ? undefined : parts.join(' ');
}

function labelled(label: string, value: string | undefined): string | undefined {
  return given(value) === undefined ? undefined : `${label} ${value}`;
}

function given(value: string | undefined): string | undefined {
  return value === '' ? undefined : value;
}
