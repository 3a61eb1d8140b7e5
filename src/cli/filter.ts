import { VmRunnerError } from '../core/errors.js';
import type { Flag, ParsedFlags } from './flags.js';

/** What a row of a list must be like: keys that it must match, each in one of the ways that were given. */
export type Filter = ReadonlyMap<string, readonly string[]>;

/** @param keys what can be filtered by */
export function filterFlag(keys: readonly string[]): Flag {
  return {
    name: 'filter',
    value: 'KEY=TEXT',
    repeatable: true,
    doc: `Only what is like that; the same key twice means either, other keys mean both. Keys: ${keys.join(', ')}`,
  };
}

/** @throws invalid-input that names the keys that there are. */
export function readFilter(flags: ParsedFlags, keys: readonly string[]): Filter {
  const filter = new Map<string, readonly string[]>();
  for (const text of flags.all('filter')) {
    const equals = text.indexOf('=');
    const key = text.slice(0, Math.max(0, equals));
    if (!keys.includes(key)) {
      throw new VmRunnerError('invalid-input', 'not a filter', {
        subject: `--filter=${text}`,
        hint: `Write KEY=TEXT with one of the keys: ${keys.join(', ')}.`,
      });
    }
    filter.set(key, [...(filter.get(key) ?? []), text.slice(equals + 1)]);
  }
  return filter;
}

/** Whether each key has one of the texts in it. */
export function matches(filter: Filter, row: Readonly<Record<string, string | undefined>>): boolean {
  return [...filter].every(([key, texts]) => texts.some((text) => (row[key] ?? '').includes(text)));
}
