import type { Runner } from './runner.js';

/** All that post must know to clean up after main, also after a main that was killed. Holds no secrets. */
export interface JobState {
  readonly vmName: string;
  /** The store that main used: post must not look in another one, whatever a step did to the environment. */
  readonly home: string;
  readonly provider: string;
  /** The host file that main read, for the same reason; `undefined` when there was none. */
  readonly hostFile: string | undefined;
}

const VM_NAME = 'vm-name';
const HOME = 'home';
const PROVIDER = 'provider';
const HOST_FILE = 'host-file';
const PASSED = 'passed';

/** Called before anything is made that post would have to take away. */
export function saveJobState(runner: Runner, state: JobState): void {
  runner.saveState(VM_NAME, state.vmName);
  runner.saveState(HOME, state.home);
  runner.saveState(PROVIDER, state.provider);
  runner.saveState(HOST_FILE, state.hostFile ?? '');
}

/** Called when the script succeeded; without it post takes the job for failed and keeps the logs of the VM. */
export function savePassed(runner: Runner): void {
  runner.saveState(PASSED, 'true');
}

/** `undefined` when main ended before it would have made anything. */
export function readJobState(runner: Runner): (JobState & { readonly passed: boolean }) | undefined {
  const vmName = runner.getState(VM_NAME);
  const home = runner.getState(HOME);
  const provider = runner.getState(PROVIDER);
  if (vmName === '' || home === '' || provider === '') return undefined;
  const hostFile = runner.getState(HOST_FILE);
  return {
    ...{ vmName, home, provider, hostFile: hostFile === '' ? undefined : hostFile },
    passed: runner.getState(PASSED) === 'true',
  };
}
