import { createHash } from 'node:crypto';

import { VmRunnerError } from '../core/errors.js';
import { shellExitCode, type Program } from '../core/job.js';
import type { GuestAgent } from '../guest/agent.js';
import type { ImageConfig, LocalImage } from '../images/image.js';
import type { Host } from '../providers/provider.js';
import type { VmRecord } from '../store/record.js';
import { withAgent } from './attach.js';
import { cleanup } from './cleanup.js';
import type { Journal } from './journal.js';
import { prepare, type PrepareRequest, type StageContext } from './prepare.js';
import { run } from './run.js';

export interface BakeRequest {
  /** What the image is called: `local/NAME`. */
  readonly reference: string;
  /** The VM that the script runs in; its image is the base. */
  readonly prepare: PrepareRequest;
  readonly script: Uint8Array;
  readonly env: Readonly<Record<string, string>>;
  readonly timeoutMs: number | undefined;
  readonly onOutput: (bytes: Uint8Array) => Promise<void> | void;
  /** After the last of it, however the script ended. */
  readonly onOutputEnd?: (() => void) | undefined;
}

/** Raised when the same inputs would make another image. */
const KEY_VERSION = 1;

/**
 * Runs a script once in a fresh VM, and keeps what it changed as one more layer over the image. Made of the same base, script
 * and environment it is there already, and nothing runs.
 * @throws guest-request-refused when the script fails; nothing is kept then.
 */
export async function bake(
  host: Host,
  request: BakeRequest,
  context: StageContext,
): Promise<{ readonly image: LocalImage; readonly made: boolean }> {
  const { log, signal } = context;
  const { reference, script, env } = request;
  const base = await host.images.resolve(request.prepare.vm.image, { log, signal, pull: request.prepare.vm.pull });
  const key = bakeKey(base, script, env);
  const present = await host.images.findMade(reference, key);
  if (present !== undefined) return { image: present, made: false };
  const vm = { ...request.prepare.vm, pull: 'never' as const };
  const root = { ...request.prepare.root, keepsChanges: true };
  const record = await prepare(host, { ...request.prepare, vm, root }, context);
  let failed = true;
  try {
    const image = await withAgent(host, record, context, async (agent, watched) => {
      await runScript(agent, request, { host, record, log, isJob: true }, watched);
      return await keepLayer(host, agent, base, { reference, key, comment: 'vm-runner image prepare' }, context);
    });
    failed = false;
    return { image, made: true };
  } finally {
    await cleanup(host, record.name, { keepLogs: failed, log });
  }
}

/** Keeps what was changed in a VM that is up as one more layer over its image. */
export async function commit(
  host: Host,
  record: VmRecord,
  options: { readonly reference: string; readonly config?: Partial<ImageConfig>; readonly live: boolean },
  context: StageContext,
): Promise<LocalImage> {
  const base = await host.images.find(record.image);
  if (base === undefined || (record.imageDigest !== undefined && base.digest !== record.imageDigest)) {
    throw new VmRunnerError(
      'image-unavailable',
      'image of the VM is not on this host any more, or another one by now',
      {
        subject: record.image,
        hint: 'Make the VM anew, and commit that one.',
      },
    );
  }
  const { reference, config, live } = options;
  const layer = { reference, config, comment: `vm-runner commit ${record.name}` };
  return await withAgent(host, record, context, (agent) => keepLayer(host, agent, base, layer, context, live));
}

/** Everything that decides what a prepared image holds. */
export function bakeKey(base: LocalImage, script: Uint8Array, env: Readonly<Record<string, string>>): string {
  const hash = createHash('sha256').update(JSON.stringify([KEY_VERSION, base.digest, Object.entries(env).sort()]));
  return hash.update(script).digest('hex');
}

async function runScript(
  agent: GuestAgent,
  request: BakeRequest,
  journal: Journal,
  signal: AbortSignal,
): Promise<void> {
  const { env, timeoutMs, onOutput, onOutputEnd } = request;
  const program: Program = { kind: 'script', content: request.script, args: [] };
  const streams = { onStdout: onOutput, onStderr: onOutput };
  // Preparing an image is root's work, whoever its jobs run as.
  const running = run(agent, { program, env, user: '0', timeoutMs, signal, journal, ...streams });
  const status = await running.finally(onOutputEnd);
  const code = shellExitCode(status);
  if (code === 0) return;
  throw new VmRunnerError('guest-request-refused', `script that prepares the image ended with exit code ${code}`, {
    subject: request.reference,
    hint: 'Its output is above. Nothing was kept.',
  });
}

async function keepLayer(
  host: Host,
  agent: GuestAgent,
  base: LocalImage,
  options: Parameters<Host['images']['addLayer']>[2],
  { log, signal }: StageContext,
  live = false,
): Promise<LocalImage> {
  return await host.images.addLayer(base, agent.getLayer({ live, signal }), options, { log, signal });
}
