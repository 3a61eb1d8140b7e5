import { onTestFinished } from 'vitest';

import type { NetworkPolicy, TemplatePolicy } from '../../src/core/job.js';
import { Timeline } from '../../src/core/log.js';
import { GuestAgent } from '../../src/guest/agent.js';
import type { Host } from '../../src/providers/provider.js';
import { cleanup } from '../../src/stages/cleanup.js';
import { prepare } from '../../src/stages/prepare.js';
import type { VmPaths } from '../../src/store/paths.js';
import { createContext, createRequest } from '../providers/support.js';
import { keptLog } from './fake-host.js';

const BOOT_TIMEOUT_MS = 120_000;
/** An image may have to be built first. */
const PREPARE_TIMEOUT_MS = 600_000;

export interface Guest {
  readonly agent: GuestAgent;
  readonly paths: VmPaths;
}

/** A VM of the default image with its agent; all of it goes when the test is over. */
export async function bootGuest(
  host: Host,
  name: string,
  vm: { readonly memoryMiB: number; readonly network: NetworkPolicy; readonly template?: TemplatePolicy },
): Promise<Guest> {
  const log = keptLog();
  onTestFinished(async () => {
    await cleanup(host, name, { keepLogs: false, log });
  });
  const request = {
    vm: { image: 'default', cpus: undefined, ...vm },
    name,
    owner: host.processes.self,
    expiresAt: Date.now() + 3_600_000,
    bootTimeoutMs: BOOT_TIMEOUT_MS,
    frontEnd: 'test',
    job: undefined,
  };
  const signal = AbortSignal.timeout(PREPARE_TIMEOUT_MS);
  const record = await prepare(host, request, { log, timeline: new Timeline(), signal });
  const agent = await GuestAgent.connect(record.endpoint, { processes: host.processes, signal });
  onTestFinished(() => agent.close());
  return { agent, paths: host.store.vms.paths(name) };
}

/** A guest that booted and was told nothing: no image was entered, so that programs see all of it. */
export async function bareGuest(host: Host, name: string, memoryMiB: number): Promise<Guest> {
  const base = await host.images.baseGuest(createContext());
  onTestFinished(() => host.provider.destroy(name));
  const boot = { base, image: undefined };
  const { endpoint } = await host.provider.create(
    createRequest({ name, boot, memoryMiB, template: 'never' }),
    createContext(),
  );
  const signal = AbortSignal.timeout(BOOT_TIMEOUT_MS);
  const agent = await GuestAgent.connect(endpoint, { processes: host.processes, signal });
  onTestFinished(() => agent.close());
  return { agent, paths: host.store.vms.paths(name) };
}

/** Runs a program in the guest until the test is over. `output` grows with what it prints on standard error. */
export function keepRunning(agent: GuestAgent, argv: readonly string[]): { readonly output: () => string } {
  const over = new AbortController();
  let output = '';
  const running = agent.exec({
    program: { kind: 'argv', argv },
    onStdout: () => undefined,
    onStderr: (bytes) => void (output += Buffer.from(bytes).toString()),
    signal: over.signal,
  });
  const ended = running.then(
    ({ code }) => Promise.reject(new Error(`${argv.join(' ')} ended with exit code ${code}: ${output}`)),
    (error: unknown) => (over.signal.aborted ? undefined : Promise.reject(error as Error)),
  );
  // It is told when the test is over, unless the test fails of it before.
  ended.catch(() => undefined);
  onTestFinished(async () => {
    over.abort(new Error('the test is over'));
    await ended;
  });
  return { output: () => output };
}

/** Runs a shell script in the guest; anything but exit code 0 is an error. */
export async function shell(
  agent: GuestAgent,
  script: string,
  signal: AbortSignal,
  onOutput: (text: string) => void = () => undefined,
): Promise<void> {
  let errors = '';
  const { code } = await agent.exec({
    program: { kind: 'argv', argv: ['sh', '-c', script] },
    onStdout: (bytes) => onOutput(Buffer.from(bytes).toString()),
    onStderr: (bytes) => void (errors += Buffer.from(bytes).toString()),
    signal,
  });
  if (code !== 0) throw new Error(`exit code ${code} of: ${script}\n${errors}`);
}
