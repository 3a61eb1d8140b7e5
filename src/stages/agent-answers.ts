import type { Endpoint } from '../core/endpoint.js';
import type { ProcessTable } from '../core/process-identity.js';
import { GuestAgent } from '../guest/agent.js';

/** What providers that clone VMs wait with for the agent of a guest, which they do not know how to talk to. */
export function agentAnswers(processes: ProcessTable): (endpoint: Endpoint, signal: AbortSignal) => Promise<void> {
  return async (endpoint, signal) => {
    const agent = await GuestAgent.connect(endpoint, { processes, signal });
    await agent.close();
  };
}
