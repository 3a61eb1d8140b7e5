import { DEFAULT_HOST_CONFIG, type HostConfig } from '../config/host-config.js';
import { toVmRunnerError, VmRunnerError } from '../core/errors.js';
import type { Log } from '../core/log.js';
import type { Host } from '../providers/provider.js';
import { cleanup } from '../stages/cleanup.js';
import { claimsSuccess, findVmName } from './env.js';
import type { Outcome } from './exit-code.js';
import { driverConfig, openDriverHost } from './host.js';
import { driverLog, reportError } from './log.js';
import type { World } from './world.js';

/**
 * cleanup_exec: destroys the VM of the job. Works when there is none, when config or prepare failed, and while a run call
 * that the Runner gave up still talks to the VM. SIGTERM does not stop it.
 *
 * What goes wrong is logged, and a failure only when the VM is still there.
 */
export async function cleanupStage(args: readonly string[], world: World): Promise<Outcome> {
  const log = driverLog(world.stderr, world.stdout);
  if (args.length > 0)
    log.warn(`cleanup takes no arguments; cleanup_args of [runners.custom] are ignored: ${args.join(' ')}`);
  const name = findVmName(world.env);
  if (name === undefined) {
    log.info('There is no VM to clean up: none was named.');
    return { kind: 'done' };
  }
  const host = await openDriverHost(world, await configOrDefault(world, log));
  try {
    const { logs } = await cleanup(host, name, { keepLogs: !claimsSuccess(world.env), log });
    log.info(`VM ${name} is gone${logs === undefined ? '' : `; its logs are kept in ${logs}`}`);
  } catch (thrown) {
    const error = toVmRunnerError(thrown);
    if (await isThere(host, name)) throw stillThere(name, error);
    reportError(world.stderr, error, thrown);
  }
  return { kind: 'done' };
}

/** A host file that was broken meanwhile is no reason to leave a VM behind. */
async function configOrDefault(world: World, log: Log): Promise<HostConfig> {
  try {
    return await driverConfig(world);
  } catch (error) {
    log.warn(toVmRunnerError(error).message);
    return DEFAULT_HOST_CONFIG;
  }
}

async function isThere(host: Host, name: string): Promise<boolean> {
  return (await host.store.vms.names()).includes(name);
}

function stillThere(name: string, cause: VmRunnerError): VmRunnerError {
  return new VmRunnerError('host-tool-failed', `VM ${name} could not be removed: ${cause.message}`, {
    hint: `Look at it with "vm-runner ps", and remove it with: vm-runner rm -f ${name}`,
    cause,
    ...(cause.detail === undefined ? {} : { detail: cause.detail }),
  });
}
