import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { CommandFiles } from './command-files.js';
import { inputVariables, readActionDefinition, type ActionDefinition } from './definition.js';
import { leftoverProcesses, type FoundProcess } from './processes.js';
import { StepProcess, type StepResult } from './step-process.js';

export interface JobOptions {
  /** An empty directory that everything of the job goes below. Short: sockets lie in it. */
  readonly directory: string;
  /** The repository that has the action. */
  readonly action: string;
  readonly node: string;
  /** The store of the host. Default: one of this job alone. */
  readonly store?: string;
  /** Added to the environment of every step. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface ActionStepResult extends StepResult {
  readonly outputs: Readonly<Record<string, string>>;
  readonly summary: string;
}

export interface RunningAction {
  readonly process: StepProcess;
  readonly result: Promise<ActionStepResult>;
}

/** What is there after a job that should not be. */
export interface Leftovers {
  readonly processes: readonly FoundProcess[];
  /** Files outside RUNNER_TEMP, the tool cache, the workspace and the store. */
  readonly files: readonly string[];
}

/**
 * Runs JavaScript actions by the rules of actions/runner: what its documentation promises and its source does, with nothing
 * of the test process leaking in. One instance is one job.
 */
export class MiniRunner {
  readonly workspace: string;
  readonly temporary: string;
  readonly store: string;
  readonly #options: JobOptions;
  readonly #action: ActionDefinition;
  readonly #posts: {
    readonly action: ActionDefinition;
    readonly inputs: Record<string, string>;
    readonly state: Record<string, string>;
  }[] = [];
  readonly #trackingId = `github_${randomUUID()}`;
  readonly #env: Record<string, string> = {};
  #paths: readonly string[] = [];
  #steps = 0;

  constructor(options: JobOptions) {
    this.#options = options;
    this.#action = readActionDefinition(options.action);
    this.workspace = this.#at('work');
    this.temporary = this.#at('temp');
    this.store = options.store ?? this.#at('store');
    for (const name of ['work', 'temp', 'tool', 'home']) mkdirSync(this.#at(name), { recursive: true });
  }

  #at(name: string): string {
    return path.join(this.#options.directory, name);
  }

  /** Starts the main step of the action. */
  startAction(inputs: Readonly<Record<string, string>>, env: Readonly<Record<string, string>> = {}): RunningAction {
    const variables = inputVariables(this.#action, inputs);
    const files = this.#freshFiles();
    const process = this.#spawn([this.#options.node, this.#action.main], { ...env, ...variables, ...files.variables });
    const result = process.end().then((ended) => {
      this.#posts.push({ action: this.#action, inputs: variables, state: files.pairs('STATE') });
      this.#take(files);
      return { ...ended, outputs: files.pairs('OUTPUT'), summary: files.summary };
    });
    return { process, result };
  }

  uses(inputs: Readonly<Record<string, string>>, env?: Readonly<Record<string, string>>): Promise<ActionStepResult> {
    return this.startAction(inputs, env).result;
  }

  /** A `run:` step on the host with the runner's default shell. */
  async run(script: string): Promise<StepResult> {
    const files = this.#freshFiles();
    const file = path.join(this.temporary, `${randomUUID()}.sh`);
    writeFileSync(file, script);
    const result = await this.#spawn(['bash', '-e', file], files.variables).end();
    this.#take(files);
    rmSync(file);
    return result;
  }

  /** The end of the job: post steps in reverse, whatever happened before. */
  async complete(): Promise<readonly StepResult[]> {
    const results: StepResult[] = [];
    for (const { action, inputs, state } of this.#posts.reverse()) {
      if (action.post === undefined) continue;
      const states = Object.fromEntries(Object.entries(state).map(([name, value]) => [`STATE_${name}`, value]));
      const files = this.#freshFiles();
      const argv = [this.#options.node, action.post];
      results.push(await this.#spawn(argv, { ...inputs, ...states, ...files.variables }).end());
    }
    return results;
  }

  /** Call it after {@link complete}. */
  leftovers(): Leftovers {
    const known = ['work', 'temp', 'tool', 'home', 'store', 'files'];
    const strangers = readdirSync(this.#options.directory).filter((name) => !known.includes(name));
    const inHome = readdirSync(this.#at('home')).map((name) => path.join('home', name));
    return {
      processes: leftoverProcesses(this.#trackingId, this.#options.directory),
      files: [...strangers, ...inHome],
    };
  }

  #freshFiles(): CommandFiles {
    this.#steps += 1;
    return new CommandFiles(path.join(this.#at('files'), String(this.#steps)));
  }

  #take(files: CommandFiles): void {
    Object.assign(this.#env, files.pairs('ENV'));
    this.#paths = [...files.paths, ...this.#paths];
  }

  #spawn(argv: readonly string[], variables: Readonly<Record<string, string>>): StepProcess {
    const env = {
      HOME: this.#at('home'),
      LANG: 'C.UTF-8',
      CI: 'true',
      GITHUB_ACTIONS: 'true',
      GITHUB_JOB: 'build',
      GITHUB_REPOSITORY: 'octo/repository',
      GITHUB_RUN_ID: '42',
      GITHUB_WORKSPACE: this.workspace,
      RUNNER_ARCH: 'X64',
      RUNNER_ENVIRONMENT: 'self-hosted',
      RUNNER_NAME: 'mini-runner',
      RUNNER_OS: 'Linux',
      RUNNER_TEMP: this.temporary,
      RUNNER_TOOL_CACHE: this.#at('tool'),
      RUNNER_TRACKING_ID: this.#trackingId,
      VM_RUNNER_HOME: this.store,
      ...this.#options.env,
      ...this.#env,
      ...variables,
      PATH: [...this.#paths, '/usr/local/bin', '/usr/bin', '/bin'].join(':'),
    };
    return new StepProcess(argv, { cwd: this.workspace, env });
  }
}
