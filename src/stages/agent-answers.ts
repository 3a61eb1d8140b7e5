import type { Endpoint } from '../core/endpoint.js';
import { GuestAgent } from '../guest/agent.js';
import type { CreateContext, Host } from '../providers/provider.js';

/** Waits for the agent behind an endpoint, and lets go of it: for providers, which dial nothing themselves. */
export function agentAnswers({ processes }: Pick<Host, 'processes'>): CreateContext['agentAnswers'] {
  return async (endpoint: Endpoint, signal: AbortSignal): Promise<void> => {
    const agent = await GuestAgent.connect(endpoint, { processes, signal });
    await agent.close();
  };
}
