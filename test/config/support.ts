import type { HostConfig } from '../../src/config/host-config.js';
import { parseHostFile } from '../../src/config/parse.js';
import { VmRunnerError } from '../../src/core/errors.js';
import { HOST_CHECKS } from '../../src/images/host-checks.js';

export function hostConfig(text: string): HostConfig {
  return parseHostFile(text, '/h.toml', HOST_CHECKS);
}

/** What is said of a file that cannot be used, a line for each mistake. */
export function mistakesOf(text: string): string[] {
  try {
    hostConfig(text);
  } catch (error) {
    if (error instanceof VmRunnerError && error.code === 'host-config-invalid') {
      const [first = '', ...others] = error.message.split('\n');
      return others.length === 0 ? [first] : others.map((line) => line.replace(/^- /, ''));
    }
    throw error;
  }
  return [];
}
