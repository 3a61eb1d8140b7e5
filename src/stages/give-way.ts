import type { Log } from '../core/log.js';
import type { Host } from '../providers/provider.js';
import { isPoolName } from '../store/pool-name.js';
import type { Ticket } from '../store/tickets.js';
import { giveUp } from './give-up.js';

/**
 * Makes room for the first in the queue: takes away one VM that waits in the pool for a job which has not come, while there is one
 * and the ticket lacks anything. Who waits does it, so that nobody depends on the process of the pool.
 * @returns whether another look is worth it
 */
export async function giveWay(host: Host, ticket: Ticket, log: Log): Promise<boolean> {
  const { vms } = host.store;
  if (!(await vms.names()).some(isPoolName)) return false;
  const { records } = await vms.list();
  const idle = records.find(({ state }) => state === 'pooled');
  if (idle === undefined) return false;
  const { shortage } = await host.capacity.shortage(ticket);
  if (shortage === undefined) return true;
  const isGone = await giveUp(host, idle.name, idle.incarnation, log);
  if (isGone) log.info(`removed VM ${idle.name}, which waited for a job: ${shortage.text}`);
  return true;
}
