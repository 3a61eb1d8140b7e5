import path from 'node:path';

import { renderError, toVmRunnerError, VmRunnerError } from '../../core/errors.js';
import { absoluteGuestPath } from '../../core/glob.js';
import { shellExitCode, type ExitStatus, type RootRequest } from '../../core/job.js';
import { renderTimeline, Timeline, type Log } from '../../core/log.js';
import { printable } from '../../core/printable.js';
import { formatDuration } from '../../core/units.js';
import type { GuestAgent } from '../../guest/agent.js';
import type { Host } from '../../providers/provider.js';
import { withAgent } from '../../stages/attach.js';
import { cleanup } from '../../stages/cleanup.js';
import { collect, type CollectResult } from '../../stages/collect.js';
import type { Journal } from '../../stages/journal.js';
import { jobImage } from '../../stages/job-image.js';
import { prepare } from '../../stages/prepare.js';
import { run } from '../../stages/run.js';
import { NEVER, type VmRecord } from '../../store/record.js';
import type { Command } from '../command.js';
import { exitCodeOf, OWN_FAILURE, PROGRAM_EXIT_CODES } from '../exit-code.js';
import type { ParsedFlags } from '../flags.js';
import { openCliHost } from '../host.js';
import { terminalLog } from '../log.js';
import { writeReport, type RunStory } from '../report.js';
import { RUN_FLAGS } from '../run-flags.js';
import { readRunSettings, type RunSettings } from '../run-settings.js';
import { withStreams } from '../streams.js';
import type { World } from '../world.js';

/** Where there is no VM, and so no image that says it. */
const DEFAULT_HOME = '/root';

export const runCommand: Command = {
  name: 'run',
  summary: 'Run a program or script in a fresh VM',
  description:
    "Boots a fresh VM, copies files in, runs the program, brings files home and destroys the VM. Standard output is the program's alone; vm-runner itself speaks on standard error.",
  flags: RUN_FLAGS,
  operands: { usage: '', least: 0, most: 0 },
  takesProgram: 'behind dashes',
  exitCodes: PROGRAM_EXIT_CODES,
  examples: [
    ['vm-runner run -- uname -a', 'One program in a fresh VM'],
    ['vm-runner run --workspace --image node:22 -- npm test', 'Test what is in this directory'],
    ["vm-runner run --script build.sh --get '/w/out/**:./out' --timeout 30m", 'Run a script, bring files home'],
    ['vm-runner run -it --network none -- bash', 'A shell of your own, without a network'],
    ['vm-runner run --keep --name box --script build.sh; vm-runner attach box', 'Look at what a failed job left'],
  ],
  run: runJob,
};

async function runJob(flags: ParsedFlags, world: World): Promise<number> {
  const settings = await readRunSettings(flags, world);
  const log = terminalLog(world.stderr, settings);
  const timeline = new Timeline();
  const outcome: Outcome = { status: undefined, collected: undefined, error: undefined };
  try {
    const host = await openCliHost(world, settings.provider);
    await inFreshVm(host, settings, { world, log, timeline }, async (agent, record, signal) => {
      const owner = settings.user ?? record.user;
      const journal = { host, record, log, isJob: true };
      const context = { world, log, timeline, signal, directory: directoryOf(settings, record), owner, journal };
      await timeline.measure('put', () => putFiles(agent, settings, context));
      await runAndCollect(agent, settings, context, outcome);
    });
  } catch (error) {
    outcome.error = toVmRunnerError(error);
  }
  const exitCode = exitCodeFor(outcome.status, outcome.error);
  if (outcome.error !== undefined) world.stderr.write(`vm-runner: ${printable(renderError(outcome.error))}\n`);
  if (settings.report !== undefined)
    await report(settings.report, { settings, exitCode, ...outcome, spans: timeline.spans }, log);
  return exitCode;
}

/** Brings files home also when the program failed or was overdue; the first thing that went wrong is the reason. */
async function runAndCollect(
  agent: GuestAgent,
  settings: RunSettings,
  context: GuestContext,
  outcome: Outcome,
): Promise<void> {
  const { log, timeline, signal } = context;
  let failure: VmRunnerError | undefined;
  try {
    outcome.status = await timeline.measure('run', () => runProgram(agent, settings, context));
  } catch (error) {
    failure = toVmRunnerError(error);
  }
  // After a cancel nobody waits for files, and without an agent there are none.
  if (!signal.aborted && failure?.code !== 'agent-unreachable') {
    try {
      outcome.collected = await timeline.measure('get', () => getFiles(agent, settings, context));
      failure ??= unmatchedError(outcome.collected);
    } catch (error) {
      if (failure === undefined) failure = toVmRunnerError(error);
      else log.warn(toVmRunnerError(error).message);
    }
  }
  if (failure !== undefined) throw failure;
}

/** The job has run by now: that nobody can read about it must not change its result. */
async function report(file: string, story: RunStory, log: Log): Promise<void> {
  try {
    await writeReport(file, story);
  } catch (error) {
    log.warn(`the report is lost: ${toVmRunnerError(error).message}`);
  }
}

interface Outcome {
  status: ExitStatus | undefined;
  collected: CollectResult | undefined;
  error: VmRunnerError | undefined;
}

interface RunContext {
  readonly world: World;
  readonly log: Log;
  readonly timeline: Timeline;
}

interface GuestContext extends RunContext {
  readonly signal: AbortSignal;
  /** Where relative paths of the guest start. */
  readonly directory: string;
  /** Whom files belong to that are put there. */
  readonly owner: string | undefined;
  readonly journal: Journal;
}

async function inFreshVm(
  host: Host,
  settings: RunSettings,
  { world, log, timeline }: RunContext,
  work: (agent: GuestAgent, record: VmRecord, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const { name, keep, waitMs } = settings;
  const { vm: ordered, named, bootTimeoutMs } = settings.order;
  if (settings.provider === 'qemu' && ordered.network === 'open') {
    log.warn('the guest can reach this host and its network: run only what you trust, or use --network none');
  }
  const context = { log, timeline, signal: world.signal };
  const vm = await jobImage(host, { vm: ordered, named, bootTimeoutMs }, { ...context, frontEnd: 'cli' });
  const request = {
    vm,
    root: rootOf(settings),
    name,
    // Ours until we are done, also one that shall stay: when we are killed before that, nobody wants it.
    owner: host.processes.self,
    expiresAt: NEVER,
    bootTimeoutMs,
    waitMs,
    frontEnd: 'cli',
    job: undefined,
  };
  const record = await prepare(host, request, context);
  let failed = true;
  try {
    const total = formatDuration(timeline.elapsedMs);
    log.info(`VM ${name} is ready after ${total} (${renderTimeline(timeline.spans, formatDuration)})`);
    await withAgent(host, record, { log, signal: world.signal }, (agent, signal) => work(agent, record, signal));
    failed = false;
  } finally {
    if (keep) {
      await host.store.vms.update(name, { owner: undefined, expiresAt: Date.now() + host.config.keep.vmMs });
      await host.store.events.add('vm', 'kept', name, {}, log);
      log.info(`VM ${name} stays: vm-runner exec ${name} …, and vm-runner rm ${name} in the end`);
    } else {
      await endVm(host, record, { failed, timeline, log });
    }
  }
}

function rootOf({ entrypoint, init, user, workspace, order }: RunSettings): RootRequest {
  return { entrypoint, init, user, workspace, pids: order.pids };
}

/** Its own failure must not hide what happened before. */
async function endVm(
  host: Host,
  record: VmRecord,
  context: { failed: boolean; timeline: Timeline; log: Log },
): Promise<void> {
  try {
    await context.timeline.measure('cleanup', () =>
      cleanup(host, record.name, { keepLogs: context.failed, log: context.log }),
    );
  } catch (error) {
    context.log.warn(`${toVmRunnerError(error).message} The VM goes with the next run, or with: vm-runner gc`);
  }
}

async function putFiles(
  agent: GuestAgent,
  settings: RunSettings,
  { log, signal, directory, owner }: GuestContext,
): Promise<void> {
  const onSkipped = (name: string): void => log.warn(`left out ${name}: its name is not UTF-8`);
  const options = { owner, signal, onSkipped };
  if (settings.workspace !== undefined) await agent.putTree(settings.workspace, settings.workspace, options);
  for (const put of settings.puts) {
    const target = path.posix.normalize(absoluteGuestPath(put.target, directory));
    if (put.isDirectory) await agent.putTree(put.source, target, options);
    else await agent.putFile(put.source, target, options);
  }
}

function runProgram(
  agent: GuestAgent,
  settings: RunSettings,
  { world, signal, journal }: GuestContext,
): Promise<ExitStatus> {
  const { program, env, user, timeoutMs } = settings;
  const cwd = settings.workdir ?? settings.workspace;
  // As with container engines: an entrypoint takes a program for its arguments, and a script is one by itself.
  const entrypoint = program.kind === 'argv';
  return withStreams(world, settings, (streams) =>
    run(agent, { ...streams, program, entrypoint, env, cwd, user, timeoutMs, signal, journal }),
  );
}

function getFiles(
  agent: GuestAgent,
  settings: RunSettings,
  { log, signal, directory: from }: GuestContext,
): Promise<CollectResult> {
  const selections = settings.gets.map(({ glob, directory }) => ({ glob, exclude: [], target: directory }));
  return collect(agent, selections, from, { log, signal });
}

function directoryOf(settings: RunSettings, record: VmRecord): string {
  return settings.workdir ?? settings.workspace ?? record.workingDirectory ?? DEFAULT_HOME;
}

function unmatchedError(collected: CollectResult | undefined): VmRunnerError | undefined {
  if (collected === undefined || collected.unmatched.length === 0) return undefined;
  return new VmRunnerError('guest-file-missing', 'nothing in the guest matches', {
    subject: collected.unmatched.map((glob) => `--get ${glob}`).join(', '),
    hint: 'Check the path; relative ones start at the working directory.',
  });
}

/** The program's own failure is worth more to a script than ours after it. */
function exitCodeFor(status: ExitStatus | undefined, error: VmRunnerError | undefined): number {
  const own = status === undefined ? undefined : shellExitCode(status);
  if (error === undefined) return own ?? OWN_FAILURE;
  return own === undefined || own === 0 ? exitCodeOf(error) : own;
}
