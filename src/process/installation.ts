import { readFileSync, realpathSync } from 'node:fs';
import path from 'node:path';

import { fileError, systemCode, VmRunnerError } from '../core/errors.js';

const PACKAGE_NAME = 'vm-runner';

/** Where this copy of vm-runner is. */
export interface Installation {
  readonly root: string;
  readonly version: string;
  /** Holds `<arch>/vm-agent` for each architecture. */
  readonly agentDirectory: string;
}

/**
 * Finds our own package from the file that Node was started with.
 * @param entry `process.argv[1]`; may be a link, as npm makes them
 */
export function findInstallation(entry: string): Installation {
  for (let directory = path.dirname(realpathSync(entry)); ; directory = path.dirname(directory)) {
    const version = versionIn(path.join(directory, 'package.json'));
    if (version !== undefined)
      return { root: directory, version, agentDirectory: path.join(directory, 'dist', 'agent') };
    if (directory === path.dirname(directory)) break;
  }
  throw new VmRunnerError('internal', 'cannot find the own package', { subject: entry });
}

function versionIn(file: string): string | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return undefined;
    throw fileError('read the own package', file, cause);
  }
  const { name, version } = JSON.parse(text) as { name?: unknown; version?: unknown };
  return name === PACKAGE_NAME && typeof version === 'string' ? version : undefined;
}
