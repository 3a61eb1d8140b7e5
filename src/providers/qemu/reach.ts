import { chmodSync, chownSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';

import { fileError, systemCode } from '../../core/errors.js';
import type { ProgramUser } from '../../process/confine.js';
import type { StorePaths } from '../../store/paths.js';
import { QEMU_GROUP } from './own-user.js';

// The store's own directory is the gate: besides us only the group of our QEMUs passes it. Behind it the files that nobody writes to
// can be read, their directories can be passed but not listed, and all else is closed as it always was. Stores of older versions
// are opened that far when a VM needs it.

/** Lets a QEMU of our group reach files of the store, to read. */
export function letReach({ home, vms }: StorePaths, files: readonly string[]): void {
  setOwner(home, 0, QEMU_GROUP);
  setMode(home, 0o710);
  const directories = new Set([vms]);
  for (const file of files) {
    setMode(file, 0o444, 'add');
    for (let at = path.dirname(file); at !== home && at.startsWith(`${home}/`); at = path.dirname(at)) {
      directories.add(at);
    }
  }
  for (const directory of directories) setMode(directory, 0o011, 'add');
}

/** The files that a VMDK descriptor puts together, and the descriptor. */
export function filesOfDisk(descriptor: string): readonly string[] {
  let text: string;
  try {
    text = readFileSync(descriptor, 'utf8');
  } catch (cause) {
    throw fileError('read the description of a disk', descriptor, cause);
  }
  const names = [...text.matchAll(/^RW \d+ FLAT "([^"]+)"/gm)].map((match) => match[1] ?? '');
  return [descriptor, ...new Set(names.map((name) => path.resolve(path.dirname(descriptor), name)))];
}

/** A template's memory, which QEMUs of our group open. Older ones open it to write, though none of them does. */
export function letOpenMemory(file: string, access: 'read' | 'write'): void {
  setOwner(file, 0, QEMU_GROUP);
  setMode(file, access === 'write' ? 0o660 : 0o440);
}

/** Gives files, and directories themselves, to the user of a QEMU. Those that are not there are left out. */
export function giveAway(user: ProgramUser | undefined, files: readonly string[]): void {
  if (user !== undefined) for (const file of files) setOwner(file, user.uid, user.gid);
}

/**
 * Takes them back. What QEMU has open it can go on using; but a path that we follow later, of a socket or a log, must never be
 * one that a QEMU can change which a guest broke into.
 */
export function takeBack(user: ProgramUser | undefined, files: readonly string[]): void {
  if (user !== undefined) for (const file of files) setOwner(file, 0, 0);
}

function setOwner(file: string, uid: number, gid: number): void {
  change(file, (found) => {
    if (found.uid !== uid || found.gid !== gid) chownSync(file, uid, gid);
  });
}

function setMode(file: string, bits: number, how: 'set' | 'add' = 'set'): void {
  change(file, (found) => {
    const mode = found.mode & 0o7777;
    const wanted = how === 'set' ? bits : mode | bits;
    if (mode !== wanted) chmodSync(file, wanted);
  });
}

function change(file: string, work: (found: { mode: number; uid: number; gid: number }) => void): void {
  try {
    work(statSync(file));
  } catch (cause) {
    // Whoever opens it says so better.
    if (systemCode(cause) !== 'ENOENT') throw fileError('set owner and mode', file, cause);
  }
}
