import { writeFile } from 'node:fs/promises';
import path from 'node:path';

import { BUILD_FAILURE_EXIT_CODE, SYSTEM_FAILURE_EXIT_CODE } from './failure.js';
import type { SimulatedJob } from './job.js';

export type JobStatus = 'running' | 'success' | 'failed' | 'canceled' | 'timedout';

/** The files of one attempt, in its TMPDIR. */
export interface AttemptFiles {
  readonly directory: string;
  readonly response: string;
  readonly exitCode: string;
}

export function attemptFiles(directory: string): AttemptFiles {
  return {
    directory,
    response: path.join(directory, 'response.json'),
    exitCode: path.join(directory, 'build_exit_code'),
  };
}

/** The environment of a driver call, in the order of the Runner: what comes later wins. */
export function driverEnvironment(
  runnerEnv: Readonly<Record<string, string>>,
  files: AttemptFiles,
  jobEnv: Readonly<Record<string, string>>,
  job: SimulatedJob,
  status: JobStatus,
): Record<string, string> {
  const variables = Object.entries(jobVariables(job, status)).map(([name, value]) => [`CUSTOM_ENV_${name}`, value]);
  return {
    ...runnerEnv,
    TMPDIR: files.directory,
    BUILD_FAILURE_EXIT_CODE: String(BUILD_FAILURE_EXIT_CODE),
    SYSTEM_FAILURE_EXIT_CODE: String(SYSTEM_FAILURE_EXIT_CODE),
    BUILD_EXIT_CODE_FILE: files.exitCode,
    JOB_RESPONSE_FILE: files.response,
    ...jobEnv,
    ...(Object.fromEntries(variables) as Record<string, string>),
    CUSTOM_ENV_CI_JOB_SERVICES: '',
  };
}

function jobVariables(job: SimulatedJob, status: JobStatus): Record<string, string> {
  return {
    CI: 'true',
    GITLAB_CI: 'true',
    CI_JOB_ID: String(job.id),
    CI_JOB_TOKEN: 'job-token',
    CI_PROJECT_ID: String(job.projectId),
    CI_PROJECT_PATH: job.projectPath,
    CI_RUNNER_VERSION: '19.3.0',
    ...(job.image === undefined ? {} : { CI_JOB_IMAGE: job.image }),
    ...job.variables,
    CI_SHARED_ENVIRONMENT: 'true',
    CI_JOB_STATUS: status,
  };
}

/** The job as the Runner writes it down for the driver; it drops empty fields. */
export async function writeResponse(files: AttemptFiles, job: SimulatedJob): Promise<void> {
  const response = {
    id: job.id,
    token: 'job-token',
    allow_git_fetch: true,
    job_info: { name: 'test', stage: 'test', project_id: job.projectId, project_name: path.basename(job.projectPath) },
    git_info: {
      repo_url: 'http://gitlab-ci-token:job-token@127.0.0.1/group/project.git',
      ref: 'main',
      ref_type: 'branch',
    },
    runner_info: { timeout: job.timeout ?? 3600 },
    variables: Object.entries(job.variables ?? {}).map(([key, value]) => ({ key, value, public: true })),
    steps: [
      { name: 'script', script: job.script, timeout: job.timeout ?? 3600, when: 'on_success' },
      ...(job.afterScript === undefined
        ? []
        : [{ name: 'after_script', script: job.afterScript, timeout: 300, when: 'always', allow_failure: true }]),
    ],
    ...(job.image === undefined ? {} : { image: { name: job.image } }),
    credentials: [
      { type: 'registry', url: 'registry.example.com', username: 'gitlab-ci-token', password: 'job-token' },
    ],
    features: { trace_sections: true, failure_reasons: ['job_canceled'] },
  };
  await writeFile(files.response, JSON.stringify(response), { mode: 0o600 });
}
