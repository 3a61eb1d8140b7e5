import type { HostConfig } from '../config/host-config.js';
import { VmRunnerError } from '../core/errors.js';
import { DEFAULT_IMAGE, PULL_POLICIES, type PullPolicy } from '../core/job.js';
import { parseReference } from '../images/reference.js';
import type { JobResponse } from './job-response.js';

/**
 * The image that a job names; `undefined` when it names none. Jobs are written by strangers, so that they may name what a
 * registry, this host's store or its host file has, and never a file of this host.
 * @throws image-unavailable, which is the author's to mend
 */
export function imageOfJob(
  { imageName }: Pick<JobResponse, 'imageName'>,
  { images }: Pick<HostConfig, 'images'>,
): string | undefined {
  if (imageName === undefined || images.has(imageName)) return imageName;
  const { kind } = authorsMistake(() => parseReference(imageName));
  if (kind === 'registry' || kind === 'name' || kind === 'default') return imageName;
  throw new VmRunnerError('image-unavailable', 'jobs cannot name files of the host', {
    subject: imageName,
    hint: `Name an image of a registry in "image:", or leave it out for the default one ("${DEFAULT_IMAGE}").`,
  });
}

/** The policies that a job names, in the order to be tried. @throws image-unavailable when one is none. */
export function pullPoliciesOfJob({ pullPolicies }: Pick<JobResponse, 'pullPolicies'>): readonly PullPolicy[] {
  return pullPolicies.map((wanted) => {
    const policy = PULL_POLICIES.find((known) => known === wanted);
    if (policy !== undefined) return policy;
    throw new VmRunnerError('image-unavailable', 'not a pull policy', {
      subject: `pull_policy: ${wanted}`,
      hint: `Give one of: ${PULL_POLICIES.join(', ')}.`,
    });
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
