import { readFile } from 'node:fs/promises';

import { fileError } from '../../core/errors.js';
import type { Finding } from '../../core/finding.js';

/** For one VM's sockets, disks and pulls, with room for a pool. */
const NEEDED_FILES = 1024;
const NEEDED_PROCESSES = 256;

/** What the system lets this process have: QEMU inherits it. @param file a process's limits as /proc shows them */
export async function lookAtLimits(file = '/proc/self/limits'): Promise<readonly Finding[]> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    throw fileError('read the limits of this process', file, cause);
  }
  const findings = [
    ...tooFew(text, 'Max open files', NEEDED_FILES, 'open files', 'ulimit -n 65536, or LimitNOFILE= of the service'),
    ...tooFew(text, 'Max processes', NEEDED_PROCESSES, 'processes', 'ulimit -u, or TasksMax= of the service'),
  ];
  if (findings.length > 0) return findings;
  return [{ level: 'ok', subject: 'limits', text: 'enough open files and processes' }];
}

function tooFew(limits: string, name: string, needed: number, what: string, remedy: string): Finding[] {
  const line = limits.split('\n').find((each) => each.startsWith(name));
  const soft = line?.slice(name.length).trim().split(/\s+/)[0];
  if (soft === undefined || soft === 'unlimited' || Number(soft) >= needed) return [];
  const text = `only ${soft} ${what} are allowed, ${needed} are needed. Raise it with: ${remedy}`;
  return [{ level: 'warning', subject: 'limits', text }];
}
