import path from 'node:path';

import { VmRunnerError } from '../core/errors.js';

/** The variables of the outside world that the host file depends on. */
export interface HostFileEnvironment {
  readonly VM_RUNNER_CONFIG?: string | undefined;
  readonly XDG_CONFIG_HOME?: string | undefined;
  readonly HOME?: string | undefined;
}

export interface HostFilePlace {
  readonly path: string;
  /** Who named it; `undefined` for the usual places, where it may be missing. */
  readonly namedBy: string | undefined;
}

const SYSTEM_PLACE = '/etc/vm-runner/vm-runner.toml';
const NAME = 'vm-runner/vm-runner.toml';

/**
 * Where a host file may be, the first that is there counts: what was named, else the place of the system, else that of the user.
 * Never the working directory, which belongs to whoever wrote the job.
 * @param flag absolute
 * @throws host-config-invalid when a relative path was named.
 */
export function hostFilePlaces(
  flag: string | undefined,
  env: HostFileEnvironment,
  systemPlace = SYSTEM_PLACE,
): readonly HostFilePlace[] {
  if (flag !== undefined) return [{ path: flag, namedBy: '--config' }];
  const named = env.VM_RUNNER_CONFIG;
  if (named !== undefined && named !== '') {
    if (path.isAbsolute(named)) return [{ path: path.normalize(named), namedBy: 'VM_RUNNER_CONFIG' }];
    throw new VmRunnerError('host-config-invalid', 'not an absolute path', {
      subject: `VM_RUNNER_CONFIG=${named}`,
      hint: 'Every process must find the same file: give the whole path.',
    });
  }
  const users = [env.XDG_CONFIG_HOME, env.HOME === undefined ? undefined : path.join(env.HOME, '.config')];
  const home = users.find((directory) => directory !== undefined && path.isAbsolute(directory));
  return [systemPlace, ...(home === undefined ? [] : [path.join(home, NAME)])].map((place) => ({
    path: place,
    namedBy: undefined,
  }));
}
