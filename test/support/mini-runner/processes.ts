import { readdirSync, readFileSync } from 'node:fs';

export interface FoundProcess {
  readonly pid: number;
  readonly commandLine: string;
}

/** Kills a process and everything below it. */
export function killTree(pid: number): void {
  for (const child of childrenOf(pid)) killTree(child);
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone already.
  }
}

function childrenOf(pid: number): number[] {
  return pids().filter((candidate) => {
    const stat = read(`/proc/${candidate}/stat`);
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === pid;
  });
}

/**
 * Processes that a job left: those with the runner's tracking id in their environment, which the runner would kill, and those
 * that name a place of the job in their arguments, which it would not find.
 */
export function leftoverProcesses(trackingId: string, place: string): FoundProcess[] {
  return pids()
    .filter((pid) => pid !== process.pid)
    .map((pid) => ({ pid, commandLine: read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim() }))
    .filter(({ pid, commandLine }) => {
      const isZombie = commandLine === '';
      return !isZombie && (commandLine.includes(place) || read(`/proc/${pid}/environ`).includes(trackingId));
    });
}

function pids(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    // Gone in the meantime, or another user's.
    return '';
  }
}
