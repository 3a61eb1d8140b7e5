import { once } from 'node:events';
import { open, truncate, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';

import { abortReason, Deadline, delay } from '../../core/deadline.js';
import { fileError, VmRunnerError } from '../../core/errors.js';
import { DEFAULT_BOOT_TIMEOUT_MS } from '../../core/job.js';
import type { ProcessIdentity, ProcessTable } from '../../core/process-identity.js';
import { formatDuration } from '../../core/units.js';
import type { ProgramUser } from '../../process/confine.js';
import { endProcess } from '../../process/end.js';
import { waitUntilUp } from '../vm-process.js';
import type { VmPaths } from '../../store/paths.js';
import { answers } from './boot.js';
import { withExportedBase } from './export.js';
import { START_TIMEOUT_MS, startQemu } from './launch.js';
import { qemuArguments } from './machine.js';
import { makeOverlay } from './overlay.js';
import { giveAway, letReach, takeBack } from './reach.js';
import { plannedMachine, type QemuHost, type StartContext, type VmPlan } from './plan.js';
import { QmpClient } from './qmp.js';
import type { TemplatePaths } from './template-files.js';
import { whileAlive } from './while-alive.js';

/** For the guest to see that nobody is connected any more: one that is saved while it writes to a port writes for ever. */
const SETTLE_MS = 100;
const SAVE_TIMEOUT_MS = 60_000;
const POLL_MS = 5;
const BOOT = {
  timeoutMs: DEFAULT_BOOT_TIMEOUT_MS,
  late: () => {
    const timeout = formatDuration(DEFAULT_BOOT_TIMEOUT_MS);
    return new VmRunnerError('boot-timeout', `agent in the guest did not answer within ${timeout} of boot`);
  },
  died: 'the guest that was to be saved ended',
};
/** Memory is not in it; half a megabyte is usual. */
const MOST_STATE_BYTES = 256 * 2 ** 20;

/**
 * Boots the base guest and saves it into these files, without an image and without a network.
 *
 * It uses the directory of the VM that the template is made for first. So whoever destroys that VM finds what runs here, too: by
 * its sockets, since no record names it.
 */
export async function saveTemplate(
  host: QemuHost,
  plan: VmPlan,
  template: TemplatePaths,
  context: Pick<StartContext, 'signal' | 'agentAnswers'>,
): Promise<void> {
  const { base, paths, memoryMiB, confinement } = plan;
  await makeMemoryFile(template.memory, memoryMiB);
  await makeOverlay(template.scratch, { file: base.scratch, format: 'raw' });
  const files = [template.memory, template.scratch];
  if (confinement.user !== undefined) letReach(host.store.paths, files);
  giveAway(confinement.user, [paths.directory, ...files]);
  const machine = plannedMachine(host, { ...plan, network: 'none', image: undefined });
  const argv = qemuArguments({
    ...machine,
    disks: { ...machine.disks, scratch: template.scratch, base: { nbd: paths.export } },
    memory: { kind: 'file', path: template.memory, access: 'shared' },
    start: { kernel: base.kernel, initramfs: base.initramfs },
  });
  await withExportedBase(host, plan, context.signal, () => bootAndSave(host, plan, argv, template.state, context));
  takeBack(confinement.user, files);
}

async function bootAndSave(
  host: QemuHost,
  plan: VmPlan,
  argv: readonly string[],
  state: string,
  { signal, agentAnswers }: Pick<StartContext, 'signal' | 'agentAnswers'>,
): Promise<void> {
  const { processes } = host;
  const { paths, confinement } = plan;
  const qemu = await startQemu(host, plan, argv);
  try {
    const isUp = (tried: AbortSignal): Promise<boolean> => answers(paths.qmp, tried);
    const started = { program: 'QEMU', process: qemu, logFile: paths.vmmLog };
    await waitUntilUp(started, { processes, isUp, timeoutMs: START_TIMEOUT_MS, signal });
    await whileAlive({ processes, process: qemu, ...BOOT, signal }, (alive) =>
      agentAnswers({ kind: 'serial', paths: paths.agents }, alive),
    );
    await delay(SETTLE_MS, signal);
    await writeFile(state, await takeState(paths, confinement.user, signal), { mode: 0o400, flag: 'wx' });
    await ended(processes, qemu, signal);
  } finally {
    await endProcess(processes, qemu, 0);
  }
}

async function makeMemoryFile(file: string, memoryMiB: number): Promise<void> {
  try {
    await (await open(file, 'wx', 0o600)).close();
    await truncate(file, memoryMiB * 2 ** 20);
  } catch (cause) {
    throw fileError('make the memory of a template', file, cause);
  }
}

/**
 * The state of a guest that goes on running until QEMU has it, by QEMU's migration, to a socket of ours. The memory stays where
 * it is: in its file. QEMU is told to end after that.
 */
async function takeState(
  { qmp, save: socket }: VmPaths,
  user: ProgramUser | undefined,
  signal: AbortSignal,
): Promise<Buffer> {
  const late = (): VmRunnerError =>
    new VmRunnerError('host-tool-failed', `QEMU did not save a guest within ${formatDuration(SAVE_TIMEOUT_MS)}`);
  using deadline = new Deadline(SAVE_TIMEOUT_MS, late, signal);
  using client = await QmpClient.connect(qmp, { signal: deadline.signal, timeoutMs: SAVE_TIMEOUT_MS });
  if (client === undefined) throw new VmRunnerError('vm-died', 'QEMU does not listen on its control socket any more');
  const server = createServer();
  try {
    server.listen(socket);
    await once(server, 'listening', { signal: deadline.signal });
    giveAway(user, [socket]);
    const received = receive(server, deadline.signal);
    // What QEMU says is the better reason, if it says something.
    received.catch(() => undefined);
    const capabilities = [{ capability: 'x-ignore-shared', state: true }];
    await client.execute('migrate-set-capabilities', { capabilities });
    await client.execute('migrate', { uri: `unix:${socket}` });
    while (!(await isSaved(client))) await delay(POLL_MS, deadline.signal);
    const state = await received;
    await client.execute('quit');
    return state;
  } catch (error) {
    throw deadline.signal.aborted ? abortReason(deadline.signal) : error;
  } finally {
    server.close();
  }
}

/** What the first client sends until it hangs up. */
async function receive(server: Server, signal: AbortSignal): Promise<Buffer> {
  const [socket] = (await once(server, 'connection', { signal })) as [NodeJS.ReadableStream & AsyncIterable<Buffer>];
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of socket) {
    bytes += part.length;
    if (bytes > MOST_STATE_BYTES) throw new VmRunnerError('host-tool-failed', 'QEMU saves a guest without end');
    parts.push(part);
  }
  return Buffer.concat(parts);
}

async function isSaved(client: QmpClient): Promise<boolean> {
  const { status, 'error-desc': reason } = ((await client.execute('query-migrate')) ?? {}) as Record<string, unknown>;
  if (status === 'failed' || status === 'cancelled') {
    const detail = typeof reason === 'string' ? reason : 'It gave no reason.';
    throw new VmRunnerError('host-tool-failed', 'QEMU could not save a guest', { detail });
  }
  return status === 'completed';
}

/** The disk was whole when the state was: nothing may hold its files any more, however that ended. */
async function ended(processes: ProcessTable, qemu: ProcessIdentity, signal: AbortSignal): Promise<void> {
  const late = (): VmRunnerError => new VmRunnerError('host-tool-failed', 'QEMU did not end after it saved a guest');
  using deadline = new Deadline(START_TIMEOUT_MS, late, signal);
  while (processes.isAlive(qemu)) await delay(POLL_MS, deadline.signal);
}
