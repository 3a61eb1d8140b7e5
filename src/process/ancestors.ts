import { readFileSync } from 'node:fs';

import { systemCode } from '../core/errors.js';

export interface Ancestor {
  readonly pid: number;
  /** Name of its program as the kernel keeps it: at most 15 characters. */
  readonly name: string;
}

/** A process and those above it, nearest first, up to but without the first process of the system. */
export function lineage(pid: number): readonly Ancestor[] {
  const line: Ancestor[] = [];
  for (let next = pid; next > 1;) {
    const found = statOf(next);
    if (found === undefined) break;
    line.push({ pid: next, name: found.name });
    next = found.parent;
  }
  return line;
}

function statOf(pid: number): { readonly name: string; readonly parent: number } | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw error;
  }
  // The name stands in brackets, and may hold brackets itself.
  const end = text.lastIndexOf(')');
  const [, parent] = text.slice(end + 2).split(' ');
  return { name: text.slice(text.indexOf('(') + 1, end), parent: Number(parent) };
}
