import { open } from 'node:fs/promises';

import { combineInputErrors, fileError, VmRunnerError } from '../core/errors.js';

/**
 * What we need of the job. It is read from the file that the Runner wrote, never from CUSTOM_ENV_CI_JOB_ID and its like:
 * the author of a job can set those.
 */
export interface JobResponse {
  readonly id: number;
  /** `undefined` when the server tells none. */
  readonly projectId: number | undefined;
  /** As written in .gitlab-ci.yml, with variables expanded; `undefined` when the job names none. */
  readonly imageName: string | undefined;
  /** `image:entrypoint`; `undefined` when the image's own counts. */
  readonly entrypoint: readonly string[] | undefined;
  /** `image:docker:user`. */
  readonly user: string | undefined;
  /** `image:pull_policy`, in the order to be tried. */
  readonly pullPolicies: readonly string[];
  /** Secrets: for the image's registry and nothing else. */
  readonly registryCredentials: readonly RegistryCredential[];
  /** The job variable `DOCKER_AUTH_CONFIG`, a docker configuration as JSON. A secret. */
  readonly dockerAuthConfig: string | undefined;
  readonly timeoutMs: number;
}

/** What GitLab gives a job for a registry that it knows. */
export interface RegistryCredential {
  readonly url: string;
  readonly username: string;
  readonly password: string;
}

/** A real one is some tens of KiB; variables may make it some MiB. */
const MOST_BYTES = 32 * 2 ** 20;
/** The Runner's own, for jobs that carry none. */
const DEFAULT_TIMEOUT_S = 7200;

/** @throws invalid-input when it is not a job, host-file-failed when it cannot be read. */
export async function readJobResponse(path: string): Promise<JobResponse> {
  return parseJobResponse(await readBounded(path), path);
}

/** Unknown fields are ignored: newer Runners have more. */
export function parseJobResponse(text: string, path: string): JobResponse {
  const mistakes: VmRunnerError[] = [];
  const mistake = (field: string, expected: string): void => {
    mistakes.push(new VmRunnerError('invalid-input', `"${field}" of the job is not ${expected}`, { subject: path }));
  };
  // The Runner leaves empty fields out, or writes null.
  const read = <T>(
    fields: Fields,
    name: string,
    expected: string,
    is: (value: unknown) => value is T,
  ): T | undefined => {
    const value = fields[name.split('.').at(-1) ?? ''] ?? undefined;
    if (value === undefined || is(value)) return value;
    mistake(name, expected);
    return undefined;
  };
  const job = parseObject(text, path);
  const inner = (name: string): Fields => read(job, name, 'an object', isFields) ?? {};
  if (job['id'] === undefined) mistake('id', 'there');
  const id = read(job, 'id', 'a whole number', isInteger) ?? 0;
  const projectId = read(inner('job_info'), 'job_info.project_id', 'a whole number', isInteger);
  const image = inner('image');
  const imageName = read(image, 'image.name', 'a text', isString);
  const entrypoint = read(image, 'image.entrypoint', 'a list of texts', isTexts) ?? [];
  const pullPolicies = read(image, 'image.pull_policy', 'a list of texts', isTexts) ?? [];
  const options = read(image, 'image.executor_opts', 'an object', isFields) ?? {};
  const docker = read(options, 'image.executor_opts.docker', 'an object', isFields) ?? {};
  const user = read(docker, 'image.executor_opts.docker.user', 'a text', isString) ?? '';
  const credentials = read(job, 'credentials', 'a list of objects', isObjects) ?? [];
  const variables = read(job, 'variables', 'a list of objects', isObjects) ?? [];
  const timeout = read(inner('runner_info'), 'runner_info.timeout', 'a whole number', isInteger) ?? 0;
  const error = combineInputErrors(mistakes);
  if (error !== undefined) throw error;
  return {
    id,
    projectId,
    imageName: imageName === '' ? undefined : imageName,
    entrypoint: entrypoint.length === 0 ? undefined : entrypoint,
    user: user === '' ? undefined : user,
    pullPolicies,
    registryCredentials: credentials.flatMap(registryCredential),
    dockerAuthConfig: variableValue(variables, 'DOCKER_AUTH_CONFIG'),
    timeoutMs: (timeout > 0 ? timeout : DEFAULT_TIMEOUT_S) * 1000,
  };
}

type Fields = Readonly<Record<string, unknown>>;

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isInteger(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

function isString(value: unknown): value is string {
  return typeof value === 'string';
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every(isString);
}

function isObjects(value: unknown): value is readonly Fields[] {
  return Array.isArray(value) && value.every(isFields);
}

function registryCredential({ type, url, username, password }: Fields): RegistryCredential[] {
  if (type !== 'registry' || !isString(url) || !isString(username) || !isString(password)) return [];
  return [{ url, username, password }];
}

/** Of several variables of a name the last one counts. */
function variableValue(variables: readonly Fields[], name: string): string | undefined {
  const value = variables.findLast(({ key }) => key === name)?.['value'];
  return isString(value) && value !== '' ? value : undefined;
}

function parseObject(text: string, path: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new VmRunnerError('invalid-input', 'job of the Runner is no JSON', { subject: path, cause });
  }
  if (isFields(value)) return value;
  throw new VmRunnerError('invalid-input', 'job of the Runner is no object', { subject: path });
}

async function readBounded(path: string): Promise<string> {
  try {
    await using file = await open(path, 'r');
    const { size } = await file.stat();
    if (size <= MOST_BYTES) return await file.readFile('utf8');
    throw new VmRunnerError('invalid-input', `job of the Runner has more than ${MOST_BYTES / 2 ** 20} MiB`, {
      subject: path,
    });
  } catch (cause) {
    if (cause instanceof VmRunnerError) throw cause;
    throw fileError('read the job of the Runner', path, cause);
  }
}
