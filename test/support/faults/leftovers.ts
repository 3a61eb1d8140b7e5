import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';

import { cgroupsNamed } from '../../../src/providers/qemu/cgroup-sweep.js';
import { cgroupEnding } from '../../../src/providers/qemu/confinement.js';

/** What must not be there when all jobs of a store have ended and garbage was collected; empty for a clean store. */
export function leftovers(home: string): string[] {
  const names = readdirSync(home, { recursive: true, encoding: 'utf8' });
  const unfinished = [
    ...withoutFile(home, 'layers', 'index'),
    ...withoutFile(home, 'images', 'image.json'),
    ...withoutFile(home, 'templates', 'template.json'),
  ];
  return [
    // Of VMs, locks and half-made things nothing stays; of downloads what the next pull goes on with.
    ...names.filter((name) => /^(vms|locks|tmp|capacity)\/.|\.tmp$/.test(name) && !isRoom(name)),
    ...unfinished.map((name) => `unfinished ${name}`),
    ...processesOf(home).map((line) => `process ${line}`),
    ...mountsBelow(home).map((line) => `mount ${line}`),
    ...mutexesOf(home).map((line) => `abstract socket ${line}`),
    ...cgroupsOf(home).map((directory) => `control group ${directory}`),
  ];
}

/** Directories that the store always has. */
function isRoom(name: string): boolean {
  return /^[^/]+$/.test(name) && !name.endsWith('.tmp');
}

function withoutFile(home: string, room: string, file: string): string[] {
  const directory = path.join(home, room);
  const entries = readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return entries
    .filter(({ name }) => !readdirSync(path.join(directory, name)).includes(file))
    .map(({ name }) => `${room}/${name}`);
}

/** Command lines of processes that name a file of the store. */
export function processesOf(home: string): string[] {
  const lines: string[] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      if (line.includes(`${home}/`)) lines.push(`${pid} ${line}`);
    } catch {
      // It ended since the listing.
    }
  }
  return lines;
}

/** Control groups of the store's VMs, where this host has such. */
export function cgroupsOf(home: string): readonly string[] {
  return cgroupsNamed(cgroupEnding(home));
}

function mountsBelow(home: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.split(' ')[4]?.startsWith(`${home}/`) === true);
}

/** Mutexes of this store that somebody holds: sockets without a file. */
function mutexesOf(home: string): string[] {
  const { dev, ino } = statSync(path.join(home, 'locks'));
  const lines = readFileSync('/proc/net/unix', 'utf8').split('\n');
  return lines.filter((line) => line.includes(`@vm-runner:${dev}:${ino}:`));
}
