import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';

import type { CollectOptions, Garbage } from '../../core/garbage.js';
import { cgroupRooms, removeEmpty } from './cgroup.js';

/** Longer than their maker may wait for what it needs before it can write a record. */
const HALF_MADE_AGE_MS = 600_000;

/** All control groups of ours whose names end so, where new ones would be made. @param ending as the names of one store have it */
export function cgroupsNamed(ending: string): readonly string[] {
  return cgroupRooms().flatMap((room) =>
    namesIn(room)
      .filter((name) => name.endsWith(ending))
      .map((name) => path.join(room, name)),
  );
}

/**
 * Takes away control groups in which nothing runs and which no record names: their maker died before it could write one, or
 * the record was damaged.
 * @param named by records
 */
export function sweepCgroups(
  ending: string,
  named: ReadonlySet<string>,
  { dryRun, now }: CollectOptions,
): readonly Garbage[] {
  return cgroupsNamed(ending)
    .filter((directory) => !named.has(directory) && isLeft(directory, now) && (dryRun || removeEmpty(directory)))
    .map((name) => ({ kind: 'half-made', name, reason: 'its VM was never made', bytes: 0 }));
}

function isLeft(directory: string, now: number): boolean {
  try {
    const isOld = now - statSync(directory).mtimeMs > HALF_MADE_AGE_MS;
    return isOld && readFileSync(path.join(directory, 'cgroup.procs'), 'utf8') === '';
  } catch {
    // Gone since, or not ours to look at.
    return false;
  }
}

function namesIn(directory: string): readonly string[] {
  try {
    const entries = readdirSync(directory, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  } catch {
    // None was ever made here.
    return [];
  }
}
