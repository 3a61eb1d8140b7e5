import type { CreateContext, CreateRequest, Host } from '../providers/provider.js';
import { isPoolName } from '../store/pool-name.js';
import type { VmRecord } from '../store/record.js';

/**
 * Takes a VM that waits in the pool of this host. `undefined` when there is none for this request: without a pool that costs a look at
 * the names of the VMs.
 *
 * While others wait for room nobody takes one: it would be to overtake them, since the pool makes room for them.
 */
export async function claim(
  { provider, store, capacity }: Host,
  request: CreateRequest,
  context: CreateContext,
): Promise<VmRecord | undefined> {
  const { timeline } = context;
  if (provider.pool === undefined || request.template === 'never') return undefined;
  if (!(await store.vms.names()).some(isPoolName)) return undefined;
  if ((await capacity.waiting()).length > 0) return undefined;
  const startMs = timeline.elapsedMs;
  const record = await provider.pool.claim(request, context);
  if (record !== undefined) timeline.add({ name: 'claim', startMs, endMs: timeline.elapsedMs });
  return record;
}
