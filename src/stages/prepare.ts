import { randomBytes } from 'node:crypto';

import { toVmRunnerError, VmRunnerError } from '../core/errors.js';
import { DEFAULT_DISK_MIB, DEFAULT_IMAGE, type RootRequest, type VmRequest } from '../core/job.js';
import type { Log, Timeline } from '../core/log.js';
import { USER_NETWORK } from '../core/network.js';
import type { ProcessIdentity } from '../core/process-identity.js';
import { formatDuration } from '../core/units.js';
import type { GuestAgent } from '../guest/agent.js';
import type { LocalImage } from '../images/image.js';
import type { BootFiles, Host } from '../providers/provider.js';
import type { VmRecord } from '../store/record.js';
import { agentAnswers } from './agent-answers.js';
import { withAgent } from './attach.js';
import { bootFiles } from './boot-files.js';
import { claim } from './claim.js';
import { cleanup } from './cleanup.js';
import { enterImage, programDefaults } from './enter.js';
import { reapOrphans } from './reap.js';
import { reserve } from './reserve.js';

export interface PrepareRequest {
  readonly vm: VmRequest;
  /** Default: the root as the image says. */
  readonly root?: RootRequest | undefined;
  readonly name: string;
  /** The process whose end makes the VM an orphan; `undefined` for VMs that shall stay. */
  readonly owner: ProcessIdentity | undefined;
  /** Milliseconds since 1970 after which the VM is an orphan whoever lives. */
  readonly expiresAt: number;
  readonly bootTimeoutMs: number;
  /** How long it waits for room on this host; 0: not at all. Default: what the host file says. */
  readonly waitMs?: number | undefined;
  readonly frontEnd: string;
  readonly job: string | undefined;
}

export interface StageContext {
  readonly log: Log;
  readonly timeline: Timeline;
  readonly signal: AbortSignal;
}

const ENTROPY_BYTES = 64;
/** An image that was asked for is not swept away for longer than this, whatever becomes of its name. */
const IMAGE_STAYS_MS = 60_000;

/**
 * Makes a VM, waits for its agent, tells the guest who it is and makes the root of the image. What fails leaves nothing behind
 * but its logs.
 */
export async function prepare(host: Host, request: PrepareRequest, context: StageContext): Promise<VmRecord> {
  const { log, timeline } = context;
  await reapOrphans(host, log);
  const { provider } = host;
  const incarnation = randomBytes(16).toString('hex');
  if (!provider.bootsImages && request.vm.image !== DEFAULT_IMAGE) throw imageless(provider.name, request.vm.image);
  const boot = provider.bootsImages
    ? await timeline.measure('image', () => bootFiles(host, request.vm, context))
    : undefined;
  try {
    const record = await createInRoom(host, request, boot, incarnation, context);
    await host.store.events.add('vm', 'created', record.name, aboutVm(record), log);
    const image = boot?.image ?? boot?.base.root;
    await begin(host, record, { image, root: request.root ?? {}, timeoutMs: request.bootTimeoutMs }, context);
    const defaults = image === undefined ? {} : programDefaults(image, request.root ?? {});
    const ready = await host.store.vms.update(record.name, { state: 'ready', ...defaults });
    await host.store.events.add('vm', 'ready', record.name, { ms: Math.round(timeline.elapsedMs) }, log);
    return ready;
  } catch (error) {
    const { code, reason } = toVmRunnerError(error);
    await host.store.events.add('vm', 'failed', request.name, { code, reason }, log);
    await discard(host, request.name, incarnation, log);
    throw error;
  }
}

function aboutVm({ image, cpus, memoryMiB, template, frontEnd, job }: VmRecord): Record<string, string | number> {
  const start = template === undefined ? 'boot' : 'clone';
  return { image, cpus, memoryMiB, start, frontEnd, ...(job === undefined ? {} : { job }) };
}

/** Its room is held for it until there is a record, which says itself what the VM has. One that waits in the pool has it already. */
async function createInRoom(
  host: Host,
  request: PrepareRequest,
  boot: BootFiles | undefined,
  incarnation: string,
  context: StageContext,
): Promise<VmRecord> {
  const { provider, config } = host;
  const { vm, name, waitMs = config.capacity.waitMs } = request;
  const cpus = vm.cpus ?? (await provider.defaultCpus(boot, context));
  const { memoryMiB, diskMiB = DEFAULT_DISK_MIB } = vm;
  const demand = { cpus, memoryMiB, diskMiB };
  const asking = { ...context, agentAnswers: agentAnswers(host) };
  const create = { ...vm, ...request, ...demand, incarnation };
  const claimed = await claim(host, { ...create, boot }, asking);
  if (claimed !== undefined) return claimed;
  const askedMs = context.timeline.elapsedMs;
  const reservation = await reserve(host, { name, incarnation, demand, waitMs }, context);
  try {
    const waitedLong = context.timeline.elapsedMs - askedMs > IMAGE_STAYS_MS;
    const files =
      boot !== undefined && waitedLong ? await bootFiles(host, { ...vm, pull: 'if-not-present' }, context) : boot;
    const make = (): Promise<VmRecord> => provider.create({ ...create, boot: files }, asking);
    return await context.timeline.measure('create', make);
  } finally {
    await reservation.release();
  }
}

function imageless(provider: string, image: string): VmRunnerError {
  return new VmRunnerError('image-unavailable', `the provider "${provider}" makes no VM, and so boots no image`, {
    subject: image,
    hint: 'Leave the image out for a dry run.',
  });
}

interface Beginning {
  /** `undefined` where there is no VM: then there is no root to be made either. */
  readonly image: LocalImage | undefined;
  readonly root: RootRequest;
  readonly timeoutMs: number;
}

async function begin(
  host: Host,
  record: VmRecord,
  { image, root, timeoutMs }: Beginning,
  context: StageContext,
): Promise<void> {
  const { timeline } = context;
  const startMs = timeline.elapsedMs;
  const connectError = (): VmRunnerError =>
    new VmRunnerError('boot-timeout', `agent in the guest did not answer within ${formatDuration(timeoutMs)} of boot`, {
      subject: record.name,
      hint: 'Give it more time with boot-timeout when this host is slow; else the console below says why.',
    });
  const work = async (agent: GuestAgent): Promise<void> => {
    timeline.add({ name: 'boot', startMs, endMs: timeline.elapsedMs });
    if (record.template === undefined) {
      const info = await agent.info();
      addGuestSpans(timeline, startMs, Number(info.uptimeMs), info.bootMarks);
    }
    await timeline.measure('resume', () => resume(agent, record));
    if (image !== undefined) await timeline.measure('enter', () => enterImage(agent, image, root));
  };
  await withAgent(host, record, context, work, { timeoutMs, connectError });
}

/** The guest's own marks, laid on the host's clock: its uptime now tells when its kernel started. */
function addGuestSpans(
  timeline: Timeline,
  bootStartMs: number,
  uptimeMs: number,
  marks: readonly { name: string; uptimeMs: bigint }[],
): void {
  if (marks.length === 0) return;
  const kernelStart = Math.max(bootStartMs, timeline.elapsedMs - uptimeMs);
  timeline.add({ name: 'boot: firmware', startMs: bootStartMs, endMs: kernelStart });
  let at = kernelStart;
  for (const mark of marks) {
    const endMs = kernelStart + Number(mark.uptimeMs);
    timeline.add({ name: `boot: ${mark.name === 'init' ? 'kernel' : mark.name}`, startMs: at, endMs });
    at = endMs;
  }
}

async function resume(agent: GuestAgent, record: VmRecord): Promise<void> {
  await agent.resume({
    unixNanos: BigInt(Date.now()) * 1_000_000n,
    entropy: randomBytes(ENTROPY_BYTES),
    hostname: record.name,
    machineId: randomBytes(16).toString('hex'),
    network: record.network === 'none' ? undefined : USER_NETWORK,
  });
}

/**
 * Takes away what a failed or cancelled preparation made: only what is its own, since it may have failed because somebody
 * else's VM has the name, or before it came to that. Its own failure must not hide the first one.
 */
async function discard(host: Host, name: string, incarnation: string, log: Log): Promise<void> {
  try {
    const record = await host.store.vms.read(name);
    if (record?.incarnation !== incarnation) return;
    const { logs } = await cleanup(host, name, { keepLogs: true, log });
    if (logs !== undefined) log.info(`Logs of the failed VM are kept in ${logs}`);
  } catch (error) {
    log.warn(`cleaning up failed as well: ${toVmRunnerError(error).message}`);
  }
}
