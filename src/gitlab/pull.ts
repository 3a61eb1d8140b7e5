import { toVmRunnerError } from '../core/errors.js';
import { DEFAULT_IMAGE, type PullPolicy, type VmRequest } from '../core/job.js';
import type { Host } from '../providers/provider.js';
import type { StageContext } from '../stages/prepare.js';

/**
 * Brings the image of a job by the first policy that works, as GitLab's own executors do it.
 * @throws what the last one failed with.
 */
export async function pullInOrder(
  host: Pick<Host, 'images'> & { readonly provider: Pick<Host['provider'], 'bootsImages'> },
  vm: VmRequest,
  policies: readonly PullPolicy[],
  { log, signal }: Pick<StageContext, 'log' | 'signal'>,
): Promise<VmRequest> {
  if (policies.length === 1 || vm.image === DEFAULT_IMAGE || !host.provider.bootsImages)
    return { ...vm, pull: policies[0] };
  for (const [index, pull] of policies.entries()) {
    try {
      await host.images.resolve(vm.image, { log, signal, pull });
      break;
    } catch (error) {
      if (signal.aborted || index === policies.length - 1) throw error;
      log.warn(`pull policy ${pull} failed, trying ${policies[index + 1] ?? ''}: ${toVmRunnerError(error).message}`);
    }
  }
  // It is here now.
  return { ...vm, pull: 'if-not-present' };
}
