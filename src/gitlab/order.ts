import type { HostConfig } from '../config/host-config.js';
import { VmRunnerError } from '../core/errors.js';
import type { PullPolicy } from '../core/job.js';
import { orderVm, type VmOrder } from '../stages/order.js';
import { imageOfJob, pullPoliciesOfJob } from './image.js';
import type { JobResponse } from './job-response.js';
import type { PrepareSettings } from './settings.js';

/** As GitLab has it: a tag may mean another image today. */
const DEFAULT_POLICY: PullPolicy = 'always';

export interface JobOrder extends VmOrder {
  /** At least one, in the order to be tried. */
  readonly policies: readonly PullPolicy[];
}

/**
 * The VM of a job: the image that it names, and all else as prepare_args and the host file say.
 * @throws not-allowed when the job's image is not, invalid-input when prepare_args ask for more than the host file allows.
 */
export function orderJobVm(
  job: Pick<JobResponse, 'imageName' | 'pullPolicies'>,
  { vm: wishes }: PrepareSettings,
  config: HostConfig,
): JobOrder {
  const image = imageOfJob(job, config);
  const [first, ...others] = pullPoliciesOfJob(job);
  const isOperators = image === undefined && wishes.image !== undefined;
  const limits = isOperators ? config.limits : { ...config.limits, images: undefined };
  operatorsMistake(() => orderVm({ ...config, limits }, wishes));
  const order = orderVm(config, { ...wishes, image: image ?? wishes.image, pull: first ?? wishes.pull });
  return { ...order, policies: [order.vm.pull ?? DEFAULT_POLICY, ...others] };
}

/** Nothing but the image was written by the job's author: the rest is between two files of the operator. */
function operatorsMistake(check: () => unknown): void {
  try {
    check();
  } catch (error) {
    if (!(error instanceof VmRunnerError) || error.code !== 'not-allowed') throw error;
    throw new VmRunnerError('invalid-input', 'prepare_args ask for what the host file does not allow', {
      subject: error.message,
      cause: error,
    });
  }
}
