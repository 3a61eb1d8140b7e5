import path from 'node:path';

import { VmRunnerError } from '../core/errors.js';

/** The variables of the outside world that decide where the store is. */
export interface HomeEnvironment {
  readonly VM_RUNNER_HOME?: string | undefined;
  readonly XDG_DATA_HOME?: string | undefined;
  readonly HOME?: string | undefined;
}

/**
 * Where the store is: `VM_RUNNER_HOME`, else /var/lib/vm-runner for root, else the XDG data directory of the user.
 * @throws invalid-input when VM_RUNNER_HOME is relative, or nothing says where.
 */
export function storeHome(env: HomeEnvironment, uid: number | undefined): string {
  const chosen = env.VM_RUNNER_HOME;
  if (chosen !== undefined && chosen !== '') {
    if (path.isAbsolute(chosen)) return path.normalize(chosen);
    throw new VmRunnerError('invalid-input', 'not an absolute path', {
      subject: `VM_RUNNER_HOME=${chosen}`,
      hint: 'Every process must find the same store: give the whole path.',
    });
  }
  if (uid === 0) return '/var/lib/vm-runner';
  const data = env.XDG_DATA_HOME;
  if (data !== undefined && path.isAbsolute(data)) return path.join(data, 'vm-runner');
  if (env.HOME !== undefined && path.isAbsolute(env.HOME)) return path.join(env.HOME, '.local/share/vm-runner');
  throw new VmRunnerError('invalid-input', 'no place for the store', {
    hint: 'Set VM_RUNNER_HOME or HOME to an absolute path.',
  });
}
