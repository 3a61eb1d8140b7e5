import { DEFAULT_IMAGE, type VmRequest } from '../core/job.js';
import type { BootFiles, CreateContext, Host } from '../providers/provider.js';

/** All files that a VM boots from: those of every VM, and the image's own. */
export async function bootFiles(
  host: Pick<Host, 'images'>,
  { image, pull }: Pick<VmRequest, 'image' | 'pull'>,
  { log, signal }: Pick<CreateContext, 'log' | 'signal'>,
): Promise<BootFiles> {
  // First what may not be there, then what may have to be built.
  const own = image === DEFAULT_IMAGE ? undefined : await host.images.resolve(image, { log, signal, pull });
  return { base: await host.images.baseGuest({ log, signal }), image: own };
}
