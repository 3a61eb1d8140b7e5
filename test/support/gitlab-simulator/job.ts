/** A job as GitLab hands it to a Runner, as far as a driver can see the difference. */
export interface SimulatedJob {
  readonly id: number;
  readonly projectId: number;
  /** `group/project`. */
  readonly projectPath: string;
  /** `image:` of .gitlab-ci.yml. */
  readonly image?: string;
  /** `variables:` of .gitlab-ci.yml. They win over the predefined ones of the same name, as in the real Runner. */
  readonly variables?: Readonly<Record<string, string>>;
  /** What stands in for the clone. Default: nothing is cloned, as with `GIT_STRATEGY: none`. */
  readonly getSources?: readonly string[];
  /** `GET_SOURCES_ATTEMPTS`. Default: 1. */
  readonly getSourcesAttempts?: number;
  readonly script: readonly string[];
  readonly afterScript?: readonly string[];
  /** Whether the job has `cache:`. */
  readonly cache?: boolean;
  /** Whether the job has `artifacts:` with `when: always`. */
  readonly artifacts?: boolean;
  /** Seconds. Default: 3600. */
  readonly timeout?: number;
}

/** `[[runners]]` and `[runners.custom]` of config.toml, and what surrounds the Runner. */
export interface RunnerSettings {
  /** The Runner's own temporary directory: TMPDIR of the jobs is made in it. */
  readonly directory: string;
  /** The environment of the Runner's process. */
  readonly env: Readonly<Record<string, string>>;
  readonly configExec: string;
  readonly configArgs?: readonly string[];
  readonly prepareExec: string;
  readonly prepareArgs?: readonly string[];
  readonly runExec: string;
  readonly cleanupExec: string;
  /** From SIGTERM to SIGKILL. Default: 600 s. */
  readonly gracefulKillTimeoutMs?: number;
  /** From SIGKILL to giving up. Default: 10 s. */
  readonly forceKillTimeoutMs?: number;
  /** Between attempts of prepare. Default: 3 s. */
  readonly retryIntervalMs?: number;
}

/** What the Runner tells GitLab in the end: the final PUT. */
export interface JobResult {
  readonly state: 'success' | 'failed';
  readonly failureReason?: 'script_failure' | 'runner_system_failure' | 'job_canceled' | 'job_execution_timeout';
  readonly exitCode?: number;
}

/** `canceling` lets after_script and the uploads run, `canceled` does not. */
export type CancelStatus = 'canceling' | 'canceled';
