import { readFile } from 'node:fs/promises';

import { fileError, VmRunnerError } from '../core/errors.js';
import { DEFAULT_IMAGE } from '../core/job.js';
import { writeThrough } from '../core/write-through.js';
import { driverLog } from './log.js';
import { withAgent } from '../stages/attach.js';
import { run } from '../stages/run.js';
import type { VmRecord } from '../store/record.js';
import { noSuchVm } from '../store/vms.js';
import { requireVmName } from './env.js';
import type { Outcome } from './exit-code.js';
import { driverConfig, openDriverHost } from './host.js';
import { stageRoot } from './stage-root.js';
import type { World } from './world.js';

/** Every script of the Runner changes to the directory that it wants. */
const WORKING_DIRECTORY = '/';
/** What a cancelled script has between SIGTERM and SIGKILL. graceful_kill_timeout of the Runner must be longer. */
const GRACE_MS = 10_000;

/**
 * run_exec: runs one script of the Runner in the VM of the job.
 *
 * When the Runner cancels the call, the script's whole process tree in the guest is ended before the call returns, and the VM
 * stays: after_script and the upload of artifacts come next.
 */
export async function runStage(args: readonly string[], world: World): Promise<Outcome> {
  const { script, stage } = parseRunArguments(args);
  const name = requireVmName(world.env);
  const content = await readScript(script);
  const host = await openDriverHost(world, await driverConfig(world));
  const record = await host.store.vms.read(name);
  if (record === undefined) throw noSuchVm(name);
  const log = driverLog(world.stderr);
  const { shells, ...root } = stageRoot(stage);
  const status = await withAgent(host, record, { log, signal: world.signal }, (agent, signal) =>
    run(agent, {
      ...(isDefaultImage(record) ? { entrypoint: root.entrypoint } : root),
      program: { kind: 'script', content, args: [], shells: isDefaultImage(record) ? [] : shells },
      cwd: WORKING_DIRECTORY,
      graceMs: GRACE_MS,
      onStdout: (bytes) => writeThrough(world.stdout, bytes),
      onStderr: (bytes) => writeThrough(world.stderr, bytes),
      signal,
      journal: { host, record, log: driverLog(world.stderr), isJob: true },
    }),
  );
  return { kind: 'script-ended', status };
}

/** The default image has all that the Runner's own scripts need, and is where both kinds run then. */
function isDefaultImage({ image }: VmRecord): boolean {
  return image === DEFAULT_IMAGE;
}

function parseRunArguments(args: readonly string[]): { readonly script: string; readonly stage: string } {
  const [script, stage, ...surplus] = args;
  if (script !== undefined && stage !== undefined && surplus.length === 0) return { script, stage };
  throw new VmRunnerError(
    'invalid-input',
    `run needs a script and the name of a stage, but got ${args.length} arguments`,
    {
      hint: 'The Runner adds both: leave run_args of [runners.custom] empty.',
    },
  );
}

async function readScript(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw fileError('read the script of the Runner', path, cause);
  }
}
