/** The process groups that we run now, by the process id of their leader. */
const liveGroups = new Set<number>();

/**
 * A group of its own does not end with us. This ends it when we leave without waiting for it, as at a second Ctrl-C; nothing
 * can when we are killed by SIGKILL.
 */
function killLiveGroups(): void {
  for (const group of liveGroups) signalGroup(group, 'SIGKILL');
}

export function rememberGroup(group: number): void {
  if (liveGroups.size === 0) process.once('exit', killLiveGroups);
  liveGroups.add(group);
}

export function forgetGroup(group: number): void {
  liveGroups.delete(group);
  if (liveGroups.size === 0) process.removeListener('exit', killLiveGroups);
}

export function signalGroup(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-group, signal);
  } catch {
    // The group ended by itself in the meantime; that is what was wanted.
  }
}
