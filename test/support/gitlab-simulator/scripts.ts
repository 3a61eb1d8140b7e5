import type { SimulatedJob } from './job.js';

/**
 * The bash scripts that the Runner makes of a job, one for each sub-stage, in the form of shells/bash.go: a TERM trap outside
 * and inside of a subshell that evaluates one long quoted string, with /dev/null as standard input.
 */
export class Scripts {
  readonly #job: SimulatedJob;
  readonly #projectDirectory: string;
  readonly #hostname: string;

  /** @param hostname of the Runner, or what config_exec said instead */
  constructor(job: SimulatedJob, buildsDirectory: string, hostname: string) {
    this.#job = job;
    this.#projectDirectory = `${buildsDirectory}/${job.projectPath}`;
    this.#hostname = hostname;
  }

  /** `undefined` when the job has nothing to do in that stage; the Runner then skips it. */
  of(stage: string): string | undefined {
    const body = this.#body(stage);
    return body === undefined ? undefined : finish(body);
  }

  #body(stage: string): readonly string[] | undefined {
    const { script, afterScript, getSources, cache, artifacts } = this.#job;
    const project = quote(this.#projectDirectory);
    switch (stage) {
      case 'prepare_script':
        return [`echo "Running on $(hostname) via ${this.#hostname}..."`];
      case 'get_sources':
        return [
          `mkdir -p ${project} ${quote(`${this.#projectDirectory}.tmp`)}`,
          `cd ${project}`,
          ...(getSources ?? []),
        ];
      case 'clear_worktree':
        return [`cd ${project}`, 'echo "Deleting tracked and untracked files..."'];
      case 'restore_cache':
        return cache === true ? this.#guarded('Extracting cache', 'cache-extractor') : undefined;
      case 'build_script':
        return this.#commands(script);
      case 'after_script':
        return afterScript === undefined
          ? undefined
          : ['echo "Running after script..."', ...this.#commands(afterScript)];
      case 'archive_cache':
      case 'archive_cache_on_failure':
        return cache === true ? this.#guarded('Creating cache', 'cache-archiver') : undefined;
      case 'upload_artifacts_on_success':
      case 'upload_artifacts_on_failure':
        return artifacts === true ? this.#guarded('Uploading artifacts', 'artifacts-uploader') : undefined;
      case 'cleanup_file_variables':
        return [`rm -f ${quote(`${this.#projectDirectory}.tmp/gitlab_runner_env`)}`];
      default:
        throw new Error(`the simulator has no script for the stage ${stage}`);
    }
  }

  #commands(commands: readonly string[]): string[] {
    const variables = Object.entries(this.#job.variables ?? {});
    return [
      ...variables.map(([name, value]) => `export ${name}=${quote(value)}`),
      `cd ${quote(this.#projectDirectory)}`,
      ...commands.flatMap((command) => [`echo ${quote(`$ ${command}`)}`, command]),
    ];
  }

  #guarded(action: string, command: string): string[] {
    return [
      `cd ${quote(this.#projectDirectory)}`,
      'if gitlab-runner --version >/dev/null 2>/dev/null; then',
      `  gitlab-runner ${command}`,
      'else',
      `  echo "Missing gitlab-runner. ${action} is disabled."`,
      'fi',
    ];
  }
}

function finish(body: readonly string[]): string {
  return [
    '#!/usr/bin/env bash',
    '',
    "trap 'exit 1' TERM",
    '',
    'case "$(set -o)" in *"pipefail"*) set -o pipefail;; esac; set -o errexit',
    'set +o noclobber',
    `(trap 'exit 1' TERM; eval ${quote(`${body.join('\n')}\n`)}) < /dev/null`,
    'exit 0',
    '',
  ].join('\n');
}

/** Bash's `$'…'`, as helpers/shell_escape.go writes it. */
function quote(text: string): string {
  const escaped = text
    .replaceAll(/[\\']/g, '\\$&')
    .replaceAll('\n', '\\n')
    .replaceAll('\t', '\\t')
    .replaceAll('\r', '\\r');
  return `$'${escaped}'`;
}
