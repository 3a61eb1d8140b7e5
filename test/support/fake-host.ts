import path from 'node:path';

import type { Log } from '../../src/core/log.js';
import { openHost } from '../../src/providers/host.js';
import type { Host } from '../../src/providers/provider.js';
import { temporaryDirectory } from './temporary-directory.js';

/** Holds `<architecture>/vm-agent`: what is shipped, or another build to be tried. */
export const AGENTS = process.env['VM_AGENT_DIRECTORY'] ?? path.resolve(import.meta.dirname, '../../dist/agent');

/** The scratch disk that is shipped. */
export const SCRATCH = path.resolve(import.meta.dirname, '../../dist/scratch/scratch.ext4.gz');

/** A host of its own whose VMs are agents on this machine. */
export async function fakeHost(agentDirectory = AGENTS): Promise<Host> {
  return openHost({ home: path.join(await temporaryDirectory(), 'home'), provider: 'fake', agentDirectory });
}

/** A log that keeps what it was told. */
export function keptLog(): Log & { readonly lines: string[] } {
  const lines: string[] = [];
  const keep =
    (level: string) =>
    (text: string): void =>
      void lines.push(`${level}: ${text}`);
  return {
    lines,
    info: keep('info'),
    warn: keep('warn'),
    progress: keep('progress'),
    section: (_title, work) => work(),
  };
}
