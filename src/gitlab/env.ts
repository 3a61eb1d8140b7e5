import { combineInputErrors, VmRunnerError } from '../core/errors.js';
import { storeHome } from '../store/home.js';
import { isVmName } from '../store/vms.js';
import { DEFAULT_EXIT_CODES, type ExitCodes } from './exit-code.js';
import type { World } from './world.js';

/** Our own variable: config returns it as `job_env`, and the Runner hands it to every later call of the job. */
export const VM_VARIABLE = 'VM_RUNNER_VM';

/** The same for the directories, which prepare makes in both roots. */
export const BUILDS_VARIABLE = 'VM_RUNNER_BUILDS_DIR';
export const CACHE_VARIABLE = 'VM_RUNNER_CACHE_DIR';

/** Where the host file is, for all calls of the job. */
export const CONFIG_VARIABLE = 'VM_RUNNER_CONFIG';

type Environment = World['env'];

/**
 * The exit codes that the Runner wants; its defaults for a call by hand.
 * @throws invalid-input when they are no exit codes, or the same.
 */
export function parseExitCodes(env: Environment): ExitCodes {
  const mistakes: VmRunnerError[] = [];
  const exitCode = (name: string, otherwise: number): number => {
    const text = env[name] ?? '';
    if (text === '') return otherwise;
    const value = Number(text);
    if (/^\d{1,3}$/.test(text) && value >= 1 && value <= 255) return value;
    const hint = 'Give a number from 1 to 255, as GitLab Runner does.';
    mistakes.push(
      new VmRunnerError('invalid-input', 'not an exit code of a failure', { subject: `${name}=${text}`, hint }),
    );
    return otherwise;
  };
  const buildFailure = exitCode('BUILD_FAILURE_EXIT_CODE', DEFAULT_EXIT_CODES.buildFailure);
  const systemFailure = exitCode('SYSTEM_FAILURE_EXIT_CODE', DEFAULT_EXIT_CODES.systemFailure);
  if (mistakes.length === 0 && buildFailure === systemFailure) {
    mistakes.push(new VmRunnerError('invalid-input', `both failures have the exit code ${buildFailure}`));
  }
  const error = combineInputErrors(mistakes);
  if (error !== undefined) throw error;
  return { buildFailure, systemFailure, codeFile: nonEmpty(env['BUILD_EXIT_CODE_FILE']) };
}

/** The one code that must be known even when nothing else can be read. */
export function systemFailureCode(env: Environment): number {
  try {
    return parseExitCodes(env).systemFailure;
  } catch {
    // What the Runner passes is wrong; main tells it, this is for defects.
    return DEFAULT_EXIT_CODES.systemFailure;
  }
}

/** The VM of this job; `undefined` when config never ran or returned nothing. @throws invalid-input when it is no name. */
export function findVmName(env: Environment): string | undefined {
  const name = nonEmpty(env[VM_VARIABLE]);
  if (name === undefined || isVmName(name)) return name;
  throw new VmRunnerError('invalid-input', 'not a name of a VM', {
    subject: `${VM_VARIABLE}=${name}`,
    hint: 'Set it nowhere: the config stage makes it up.',
  });
}

/** The VM of this job. @throws invalid-input when the Runner hands none over. */
export function requireVmName(env: Environment): string {
  const name = findVmName(env);
  if (name !== undefined) return name;
  throw new VmRunnerError('invalid-input', 'no VM was named for this job', {
    subject: VM_VARIABLE,
    hint: 'Set config_exec of [runners.custom] to executors/gitlab/config: it makes the name.',
  });
}

/** Directories of the guest that the Runner's own scripts and the job's share. None when config never ran. */
export function sharedDirectories(env: Environment): string[] {
  const directories = [nonEmpty(env[BUILDS_VARIABLE]), nonEmpty(env[CACHE_VARIABLE])];
  return [...new Set(directories.filter((directory) => directory?.startsWith('/') === true))] as string[];
}

/** Where the Runner wrote the job. @throws invalid-input when it says nothing. */
export function requireJobResponseFile(env: Environment): string {
  const file = nonEmpty(env['JOB_RESPONSE_FILE']);
  if (file !== undefined) return file;
  throw new VmRunnerError('invalid-input', 'no file with the job', {
    subject: 'JOB_RESPONSE_FILE',
    hint: 'This program is started by GitLab Runner, version 14.1 or newer.',
  });
}

/**
 * Whether the job is known to have succeeded. The author of a job can set this variable, so nothing but the keeping of logs
 * may depend on it. After a failed prepare it still is `running`.
 */
export function claimsSuccess(env: Environment): boolean {
  return env['CUSTOM_ENV_CI_JOB_STATUS'] === 'success';
}

/** The store's directory. */
export function homeDirectory(world: Pick<World, 'env' | 'uid'>): string {
  return storeHome(world.env, world.uid);
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}
