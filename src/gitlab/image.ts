import { VmRunnerError } from '../core/errors.js';
import { DEFAULT_IMAGE, PULL_POLICIES, type PullPolicy } from '../core/job.js';
import { parseReference } from '../images/reference.js';
import type { JobResponse } from './job-response.js';
import type { PrepareSettings } from './settings.js';

/** As GitLab has it: a tag may mean another image today. */
const DEFAULT_POLICY: PullPolicy = 'always';

/**
 * The image of a job: what it names, else what the operator does. Jobs are written by strangers, so that they may name what a
 * registry or this host's store has, and never a file of this host.
 * @throws image-unavailable, which is the author's to mend
 */
export function chooseImage(job: JobResponse, settings: Pick<PrepareSettings, 'image'>): string {
  const { imageName } = job;
  if (imageName === undefined) return settings.image;
  const { kind } = authorsMistake(() => parseReference(imageName));
  if (kind === 'registry' || kind === 'name' || kind === 'default') return imageName;
  throw new VmRunnerError('image-unavailable', 'jobs cannot name files of the host', {
    subject: imageName,
    hint: `Name an image of a registry in "image:", or leave it out for the default one ("${DEFAULT_IMAGE}").`,
  });
}

/** The first policy that the job names, else the operator's. @throws image-unavailable when there is no such policy. */
export function choosePullPolicy(job: JobResponse, settings: Pick<PrepareSettings, 'pull'>): PullPolicy {
  const [wanted] = job.pullPolicies;
  if (wanted === undefined) return settings.pull ?? DEFAULT_POLICY;
  const policy = PULL_POLICIES.find((known) => known === wanted);
  if (policy !== undefined) return policy;
  throw new VmRunnerError('image-unavailable', 'not a pull policy', {
    subject: `pull_policy: ${wanted}`,
    hint: `Give one of: ${PULL_POLICIES.join(', ')}.`,
  });
}

/** What is wrong with the name of an image was written by the job's author, who reads about it as such. */
function authorsMistake<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof VmRunnerError) || error.code !== 'invalid-input') throw error;
    throw new VmRunnerError('image-unavailable', error.reason, {
      cause: error,
      ...(error.subject === undefined ? {} : { subject: error.subject }),
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    });
  }
}
