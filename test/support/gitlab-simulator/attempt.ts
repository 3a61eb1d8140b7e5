import { mkdtemp, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';

import { callDriver, type DriverCall } from './driver-call.js';
import { attemptFiles, driverEnvironment, writeResponse, type AttemptFiles, type JobStatus } from './environment.js';
import { failureOf, SystemFailure } from './failure.js';
import type { RunnerSettings, SimulatedJob } from './job.js';
import { Scripts } from './scripts.js';
import type { Trace } from './trace.js';

/** What the Runner reads from config_exec. Unknown keys are ignored. */
interface DriverConfig {
  readonly driver?: { readonly name?: string; readonly version?: string };
  readonly hostname?: string;
  readonly builds_dir?: string;
  readonly cache_dir?: string;
  readonly job_env?: Readonly<Record<string, string>>;
}

export interface AttemptOptions {
  readonly job: SimulatedJob;
  readonly settings: RunnerSettings;
  readonly directory: string;
  readonly trace: Trace;
  readonly calls: DriverCall[];
}

/** One attempt to prepare a job, and, when it succeeds, all that runs in it: one TMPDIR, one response file, one exit-code file. */
export class Attempt {
  readonly directory: string;
  /** CI_JOB_STATUS of the calls to come. */
  status: JobStatus = 'running';
  readonly #options: AttemptOptions;
  readonly #files: AttemptFiles;
  #jobEnv: Readonly<Record<string, string>> = {};
  #scripts: Scripts | undefined;

  constructor(options: AttemptOptions) {
    this.#options = options;
    this.directory = options.directory;
    this.#files = attemptFiles(options.directory);
  }

  /** config_exec, then prepare_exec. */
  async prepare(signal: AbortSignal): Promise<void> {
    const { job, settings, trace } = this.#options;
    await writeResponse(this.#files, job);
    const { configExec, configArgs = [], prepareExec, prepareArgs = [] } = settings;
    const call = await this.#call('config', [configExec, ...configArgs], signal);
    const config = parseConfig(call.stdout);
    this.#jobEnv = config.job_env ?? {};
    const { name, version } = config.driver ?? {};
    trace.line(`Using Custom executor with driver ${name ?? ''} ${version ?? ''}...`);
    if (config.builds_dir === undefined || config.cache_dir === undefined) {
      throw new SystemFailure('the builds_dir is not configured');
    }
    this.#scripts = new Scripts(job, config.builds_dir, config.hostname ?? hostname());
    await this.#call('prepare', [prepareExec, ...prepareArgs], signal);
  }

  /** run_exec with the script of a sub-stage; a stage without a script is skipped. */
  async run(stage: string, signal: AbortSignal): Promise<void> {
    const script = this.#scripts?.of(stage);
    if (script === undefined) return;
    // The Runner starts no stage in a context that is over.
    if (signal.aborted) throw new SystemFailure('context canceled');
    const directory = await mkdtemp(path.join(this.directory, 'script'));
    const file = path.join(directory, 'script');
    await writeFile(file, script, { mode: 0o700 });
    await this.#call(`run ${stage}`, [this.#options.settings.runExec, file, stage], signal);
  }

  /** cleanup_exec: no cancel reaches it, and its failure is only logged. */
  async cleanup(): Promise<void> {
    try {
      await this.#call('cleanup', [this.#options.settings.cleanupExec], undefined);
    } catch (error) {
      this.#options.trace.line(`WARNING: Cleanup script failed: ${String(error)}`);
    }
  }

  async #call(name: string, argv: readonly string[], signal: AbortSignal | undefined): Promise<DriverCall> {
    const { job, settings, trace, calls } = this.#options;
    const call = await callDriver({
      name,
      argv,
      cwd: this.directory,
      env: driverEnvironment(settings.env, this.#files, this.#jobEnv, job, this.status),
      signal,
      gracefulKillTimeoutMs: settings.gracefulKillTimeoutMs ?? 600_000,
      forceKillTimeoutMs: settings.forceKillTimeoutMs ?? 10_000,
      onOutput: (text, stream) => {
        // Standard output of config is the answer; nothing of cleanup is for the job.
        if (name !== 'cleanup' && !(name === 'config' && stream === 'stdout')) trace.append(text);
      },
    });
    calls.push(call);
    const failure = await failureOf(call, this.#files.exitCode);
    if (failure !== undefined) throw failure;
    return call;
  }
}

function parseConfig(stdout: string): DriverConfig {
  if (stdout === '') return {};
  try {
    return JSON.parse(stdout) as DriverConfig;
  } catch (cause) {
    throw new SystemFailure(`error while parsing JSON output: ${String(cause)}`);
  }
}
