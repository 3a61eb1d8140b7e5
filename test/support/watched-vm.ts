import { onTestFinished } from 'vitest';

import type { VmRequest, RootRequest } from '../../src/core/job.js';
import { Timeline } from '../../src/core/log.js';
import type { Host } from '../../src/providers/provider.js';
import { withAgent } from '../../src/stages/attach.js';
import { cleanup } from '../../src/stages/cleanup.js';
import { prepare } from '../../src/stages/prepare.js';
import { run } from '../../src/stages/run.js';
import type { WatchTimes } from '../../src/stages/watch.js';
import type { VmRecord } from '../../src/store/record.js';
import { keptLog } from './fake-host.js';

let made = 0;

/** A VM of a test, destroyed at its end, and what its log was told. */
export interface WatchedVm {
  readonly record: VmRecord;
  readonly log: ReturnType<typeof keptLog>;
  /** Runs a script of `sh` in the image root; what it printed, and how it ended. */
  readonly sh: (script: string, times?: Partial<WatchTimes>, onStdout?: () => void) => Promise<Ended>;
}

export interface Ended {
  readonly code: number;
  readonly signal: number;
  readonly stdout: string;
}

export async function watchedVm(host: Host, vm: Partial<VmRequest> = {}, root: RootRequest = {}): Promise<WatchedVm> {
  made += 1;
  const name = `watched-${process.pid}-${made}`;
  const log = keptLog();
  const signal = AbortSignal.timeout(240_000);
  const request = {
    vm: { image: 'default', cpus: 1, memoryMiB: 512, network: 'none' as const, ...vm },
    ...{ name, root, owner: host.processes.self, expiresAt: Date.now() + 3_600_000, bootTimeoutMs: 120_000 },
    ...{ frontEnd: 'test', job: undefined },
  };
  const record = await prepare(host, request, { log, timeline: new Timeline(), signal });
  onTestFinished(async () => {
    await cleanup(host, name, { keepLogs: false, log });
  });
  const sh: WatchedVm['sh'] = (script, times = {}, onStdout = () => undefined) =>
    withAgent(
      host,
      record,
      { log, signal },
      async (agent, watched) => {
        let stdout = '';
        const end = await run(agent, {
          program: { kind: 'argv', argv: ['sh', '-c', script] },
          onStdout: (bytes) => {
            stdout += Buffer.from(bytes).toString();
            onStdout();
          },
          onStderr: (bytes) => void (stdout += Buffer.from(bytes).toString()),
          signal: watched,
        });
        return { ...end, stdout };
      },
      { times },
    );
  return { record, log, sh };
}
