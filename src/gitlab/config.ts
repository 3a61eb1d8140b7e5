import { randomVmName } from '../stages/name.js';
import { BUILDS_VARIABLE, CACHE_VARIABLE, CONFIG_VARIABLE, VM_VARIABLE } from './env.js';
import type { Outcome } from './exit-code.js';
import { parseConfigSettings } from './settings.js';
import type { World } from './world.js';

/**
 * config_exec: tells the Runner where the job's files go, and names the VM of this attempt.
 *
 * The name is random and travels in `job_env` with the directories, where a job's variables cannot reach it. `hostname` is left alone: the job log
 * then says "Running on NAME OF THE VM via NAME OF THE HOST".
 */
export function configStage(args: readonly string[], world: World): Promise<Outcome> {
  const { builds, cache, config } = parseConfigSettings(args);
  const answer = {
    driver: { name: 'vm-runner', version: world.installation.version },
    builds_dir: builds,
    cache_dir: cache,
    shell: 'bash',
    job_env: {
      [VM_VARIABLE]: randomVmName(),
      [BUILDS_VARIABLE]: builds,
      [CACHE_VARIABLE]: cache,
      ...(config === undefined ? {} : { [CONFIG_VARIABLE]: config }),
    },
  };
  world.stdout.write(`${JSON.stringify(answer)}\n`);
  return Promise.resolve({ kind: 'done' });
}
