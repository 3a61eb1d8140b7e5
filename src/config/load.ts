import { VmRunnerError } from '../core/errors.js';
import { DEFAULT_HOST_CONFIG, type HostConfig, type SettingOrigin } from './host-config.js';
import { readHostFile } from './host-file.js';
import type { HostChecks } from './kinds.js';
import { hostFilePlaces, type HostFileEnvironment } from './locate.js';
import { parseHostFile } from './parse.js';

/** Variables that win over settings of the host file, with those that say where it is. */
export interface HostEnvironment extends HostFileEnvironment {
  readonly VM_RUNNER_QEMU?: string | undefined;
  readonly VM_RUNNER_ISOLATE_TEMPLATES?: string | undefined;
}

export interface LoadOptions {
  /** Absolute path that `--config` gave. */
  readonly flag?: string | undefined;
  readonly env: HostEnvironment;
  readonly uid: number | undefined;
  readonly checks: HostChecks;
  /** Default: the one in /etc. */
  readonly systemPlace?: string | undefined;
}

/**
 * What is in force on this host: environment, else host file, else default.
 * @throws host-config-invalid that names every mistake.
 */
export async function loadHostConfig({ flag, env, uid, checks, systemPlace }: LoadOptions): Promise<HostConfig> {
  const file = await readHostFile(hostFilePlaces(flag, env, systemPlace), uid);
  return withEnvironment(file === undefined ? DEFAULT_HOST_CONFIG : parseHostFile(file.text, file.path, checks), env);
}

const ISOLATE = 'VM_RUNNER_ISOLATE_TEMPLATES';

function withEnvironment(config: HostConfig, env: HostEnvironment): HostConfig {
  const origins = new Map<string, SettingOrigin>(config.origins);
  let { binary, isolateTemplates } = config.qemu;
  if (env.VM_RUNNER_QEMU) {
    binary = env.VM_RUNNER_QEMU;
    origins.set('qemu.binary', { place: 'environment VM_RUNNER_QEMU', text: binary });
  }
  const isolate = env[ISOLATE];
  if (isolate) {
    if (isolate !== '1' && isolate !== '0') {
      const subject = `${ISOLATE}=${isolate}`;
      throw new VmRunnerError('host-config-invalid', 'not 1 or 0', { subject, hint: 'Give 1 to isolate, else 0.' });
    }
    isolateTemplates = isolate === '1';
    origins.set('qemu.isolate-templates', { place: `environment ${ISOLATE}`, text: String(isolateTemplates) });
  }
  return { ...config, qemu: { binary, isolateTemplates }, origins };
}
