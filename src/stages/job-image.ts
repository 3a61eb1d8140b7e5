import { open } from 'node:fs/promises';
import path from 'node:path';

import type { NamedImage } from '../config/host-config.js';
import { fileError, toVmRunnerError, VmRunnerError } from '../core/errors.js';
import { DEFAULT_BOOT_TIMEOUT_MS, MOST_SCRIPT_BYTES, type VmRequest } from '../core/job.js';
import type { Host } from '../providers/provider.js';
import { acquireLock } from '../store/lock.js';
import { NEVER } from '../store/record.js';
import { bake, bakeKey } from './bake.js';
import { LineLog } from './line-log.js';
import { randomVmName } from './name.js';
import type { VmOrder } from './order.js';
import type { StageContext } from './prepare.js';

export interface JobImageContext extends StageContext {
  /** Who waits: shown with the VM that the script runs in. */
  readonly frontEnd: string;
}

/** Prepare scripts install packages; one that takes longer hangs. */
const SCRIPT_MS = 3_600_000;

/**
 * The request of a job with the image that it gets: an image of the host file with a script is prepared first, once however many
 * jobs want it, and again when its script or what is below it has changed.
 * @throws image-build-failed when that fails, whatever it was: the operator wrote the script.
 */
export async function jobImage(
  host: Host,
  { vm, named, bootTimeoutMs }: Pick<VmOrder, 'vm' | 'named' | 'bootTimeoutMs'>,
  context: JobImageContext,
): Promise<VmRequest> {
  // Without a VM there is no image to prepare: the stage of that name refuses it.
  if (named?.prepare === undefined || !host.provider.bootsImages) return vm;
  const image = `local/host-file-${named.name}`;
  try {
    const order = { vm: { ...vm, ...sizeOf(named, vm) }, bootTimeoutMs };
    await bakeOnce(host, { named, image, script: await readScript(named.prepare), ...order }, context);
  } catch (cause) {
    const error = toVmRunnerError(cause);
    if (error.blame !== 'user') throw error;
    throw new VmRunnerError('image-build-failed', `image "${named.name}" of this host cannot be prepared`, {
      subject: error.message,
      hint: `Its script is ${named.prepare}.`,
      cause: error,
      ...(error.detail === undefined ? {} : { detail: error.detail }),
    });
  }
  return { ...vm, image, pull: 'never' };
}

/** What the operator gave the image: a job that asks for little would not get its script through. */
function sizeOf({ memoryMiB, diskMiB, cpus }: NamedImage, vm: VmRequest): Partial<VmRequest> {
  return {
    memoryMiB: memoryMiB ?? vm.memoryMiB,
    diskMiB: diskMiB ?? vm.diskMiB,
    cpus: cpus ?? vm.cpus,
    // What is not allowed to jobs is no matter of the operator's own script, which has packages to fetch.
    network: 'open',
  };
}

interface BakeOnce {
  readonly named: NamedImage;
  readonly image: string;
  readonly script: Uint8Array;
  readonly vm: VmRequest;
  readonly bootTimeoutMs?: number;
}

async function bakeOnce(
  host: Host,
  { named, image, script, vm, bootTimeoutMs = DEFAULT_BOOT_TIMEOUT_MS }: BakeOnce,
  context: JobImageContext,
): Promise<void> {
  const { log, signal, timeline, frontEnd } = context;
  const base = await host.images.resolve(vm.image, { log, signal, pull: vm.pull });
  const isMade = async (): Promise<boolean> =>
    (await host.images.findMade(image, bakeKey(base, script, {}))) !== undefined;
  if (await isMade()) return;
  const lock = await acquireLock(path.join(host.store.paths.locks, `bake-${named.name}`), {
    ...{ processes: host.processes, signal },
    onWait: (holder) => log.info(`waiting for process ${holder.pid}, which prepares image ${named.name}`),
  });
  try {
    if (await isMade()) return;
    log.info(`preparing image ${named.name} with ${named.prepare ?? ''}`);
    const output = new LineLog((line) => log.info(`${named.name}: ${line}`));
    const request = {
      reference: image,
      prepare: {
        // Brought above.
        vm: { ...vm, pull: 'if-not-present' as const },
        name: randomVmName(),
        owner: host.processes.self,
        expiresAt: NEVER,
        ...{ bootTimeoutMs, frontEnd },
        job: `image ${named.name}`,
      },
      script,
      env: {},
      timeoutMs: SCRIPT_MS,
      onOutput: (bytes: Uint8Array) => output.write(bytes),
      onOutputEnd: () => output.end(),
    };
    await timeline.measure('prepare image', () => bake(host, request, context));
  } finally {
    await lock.release();
  }
}

async function readScript(file: string): Promise<Uint8Array> {
  try {
    await using handle = await open(file, 'r');
    const { size } = await handle.stat();
    if (size <= MOST_SCRIPT_BYTES) return await handle.readFile();
    throw new VmRunnerError('host-config-invalid', 'script that prepares an image is larger than 4 MiB', {
      subject: file,
      hint: 'Let it fetch what it needs.',
    });
  } catch (cause) {
    if (cause instanceof VmRunnerError) throw cause;
    throw fileError('read the script that prepares an image', file, cause);
  }
}
