import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { fileError, systemCode, VmRunnerError } from '../core/errors.js';
import { sha256 } from './digest.js';

export interface AgentBinary {
  readonly data: Buffer;
  readonly digest: string;
}

/** Where the agent for an architecture (`amd64`) is in a directory of agents. */
export function agentPath(agentDirectory: string, architecture: string): string {
  return path.join(agentDirectory, architecture, 'vm-agent');
}

/** @throws host-file-failed when it was not built or not installed with the package. */
export async function readAgent(agentDirectory: string, architecture: string): Promise<AgentBinary> {
  const file = agentPath(agentDirectory, architecture);
  try {
    const data = await readFile(file);
    return { data, digest: sha256(data) };
  } catch (cause) {
    if (systemCode(cause) !== 'ENOENT') throw fileError('read the guest agent', file, cause);
    throw new VmRunnerError('host-file-failed', 'guest agent missing', {
      subject: file,
      hint: 'It is part of the vm-runner package; in a source tree build it first (guest-agent/).',
      cause,
    });
  }
}
