import { existsSync } from 'node:fs';

import { VmRunnerError } from '../../core/errors.js';
import { tryProgram } from '../../process/run.js';

/** Something that building needs on this host, and the Debian package that has it. */
export type HostTool =
  /** A program, with an argument that makes it print something harmless and end. */
  | { readonly program: string; readonly versionArgument: string; readonly package: string }
  | { readonly file: string; readonly package: string };

/** Everything that building the default image starts. */
export const BUILD_TOOLS: readonly HostTool[] = [
  { program: 'mmdebstrap', package: 'mmdebstrap', versionArgument: '--version' },
  { program: 'mmtarfilter', package: 'mmdebstrap', versionArgument: '--help' },
];

/**
 * Finds out whether all tools are there, programs by starting them.
 * @throws host-tool-missing naming every missing one and the line that installs them.
 */
export async function checkHostTools(tools: readonly HostTool[], searchPath: string): Promise<void> {
  const present = await Promise.all(tools.map((tool) => isPresent(tool, searchPath)));
  const missing = tools.filter((_, index) => present[index] !== true);
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((tool) => tool.package))];
  throw new VmRunnerError('host-tool-missing', 'what the default image is built with is missing on this host', {
    subject: missing.map((tool) => ('file' in tool ? tool.file : tool.program)).join(', '),
    hint: `Install it with: apt-get install ${packages.join(' ')}`,
  });
}

async function isPresent(tool: HostTool, searchPath: string): Promise<boolean> {
  if ('file' in tool) return existsSync(tool.file);
  try {
    await tryProgram([tool.program, tool.versionArgument], { env: { PATH: searchPath }, timeoutMs: 10_000 });
    return true;
  } catch (error) {
    if (error instanceof VmRunnerError && error.code === 'host-tool-missing') return false;
    throw error;
  }
}
