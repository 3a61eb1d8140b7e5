import path from 'node:path';

import type { VmRunnerError } from '../core/errors.js';
import { parseSize } from '../core/units.js';
import type { ValueKind } from '../core/values.js';
import { renderToml, type TomlValue } from './toml.js';

/** What other rooms know better than this one. Each throws invalid-input with a reason and a hint. */
export interface HostChecks {
  readonly reference: (text: string) => void;
  readonly registry: (host: string) => void;
  /** Whether a mirror may be spoken to over plain HTTP. Throws nothing. */
  readonly mayBePlain: (mirror: URL, insecure: readonly string[]) => boolean;
}

/** A value that its setting does not take. */
export class WrongValue extends Error {
  readonly line: number;
  readonly reason: string;
  readonly given: string;
  readonly hint: string;

  constructor(value: TomlValue, reason: string, hint: string) {
    super(reason);
    this.line = value.line;
    this.reason = reason;
    this.given = renderToml(value);
    this.hint = hint;
  }
}

/** Several of them in one setting. */
export class WrongValues extends Error {
  readonly all: readonly WrongValue[];

  constructor(all: readonly WrongValue[]) {
    super('wrong values');
    this.all = all;
  }
}

/** What `read` throws, as a list; anything else is a defect. */
export function wrongValuesOf(error: unknown): readonly WrongValue[] {
  if (error instanceof WrongValue) return [error];
  if (error instanceof WrongValues) return error.all;
  throw error;
}

/** How a setting is read. */
export interface SettingKind<T> {
  /** What stands for the value in docs/HOST.md. */
  readonly form: string;
  /** @throws WrongValue, or WrongValues where there may be several */
  readonly read: (value: TomlValue, checks: HostChecks) => T;
}

/** As a flag or an input of that kind is read; numbers may stand without quotes. */
export function asFlag<T>(form: string, kind: ValueKind<T>): SettingKind<T> {
  const read = (value: TomlValue): T => {
    const text = value.kind === 'text' || value.kind === 'number' ? String(value.value) : undefined;
    const parsed = text === undefined ? undefined : kind.parse(text);
    if (parsed === undefined) throw new WrongValue(value, kind.reason, kind.hint);
    return parsed;
  };
  return { form, read };
}

export const BOOLEAN: SettingKind<boolean> = {
  form: 'true or false',
  read: (value) => {
    if (value.kind === 'boolean') return value.value;
    throw new WrongValue(value, 'not true or false', 'Give true or false, without quotes.');
  },
};

export const COUNT: SettingKind<number> = {
  form: 'number',
  read: (value) => {
    const isCount = value.kind === 'number' && Number.isSafeInteger(value.value) && value.value >= 1;
    if (!isCount) throw new WrongValue(value, 'not a count', 'Give a whole number of at least 1.');
    return value.value;
  },
};

/** Bytes. */
export const SIZE: SettingKind<number> = asFlag('size', {
  reason: 'not a size',
  hint: 'Give MiB, or a number with K, M, G or T, as in 50G.',
  parse: parseSize,
});

/** MiB, rounded up. */
export const SIZE_IN_MIB: SettingKind<number> = {
  form: 'size',
  read: (value, checks) => Math.ceil(SIZE.read(value, checks) / 2 ** 20),
};

/** Of a file on this host. */
export const PATH: SettingKind<string> = {
  form: 'path',
  read: (value) => {
    const text = readText(value);
    if (!path.isAbsolute(text) || text.includes('\0')) {
      throw new WrongValue(value, 'not an absolute path', 'Begin it with a slash.');
    }
    return path.normalize(text);
  },
};

export const PROGRAM: SettingKind<string> = {
  form: 'name or path',
  read: (value) => {
    const text = readText(value);
    if (text === '' || (text.includes('/') && !path.isAbsolute(text))) {
      throw new WrongValue(value, 'not a program', 'Give a name that PATH finds, or an absolute path.');
    }
    return text;
  },
};

/** Of an image: a reference, or where that is so a name of the host file, which is one in its form too. */
export const REFERENCE: SettingKind<string> = {
  form: 'image',
  read: (value, { reference }) => checked(value, reference),
};

export const REGISTRY: SettingKind<string> = {
  form: 'host',
  read: (value, { registry }) => checked(value, registry),
};

export const IMAGE_GLOB: SettingKind<string> = {
  form: 'name or glob',
  read: (value) => {
    const text = readText(value);
    if (text === '' || /\s/.test(text)) {
      throw new WrongValue(value, 'not a glob of images', 'Give globs such as "ghcr.io/owner/*", or names of images.');
    }
    return text;
  },
};

export const MIRROR: SettingKind<string> = {
  form: 'address',
  read: (value) => {
    const text = readText(value);
    const url = URL.canParse(text) ? new URL(text) : undefined;
    const isPlain = url?.username === '' && url.password === '' && url.search === '' && url.hash === '';
    if (isPlain && /^https?:$/.test(url.protocol)) return text;
    throw new WrongValue(value, 'not the address of a mirror', 'Give https://HOST, with a path if need be.');
  },
};

export function listOf<T>(kind: SettingKind<T>): SettingKind<readonly T[]> {
  const read = (value: TomlValue, checks: HostChecks): readonly T[] => {
    if (value.kind === 'list') return readAll(value.items, (item) => kind.read(item, checks));
    throw new WrongValue(value, 'not a list', 'Put it into brackets, with commas between.');
  };
  return { form: `list of ${kind.form}s`, read };
}

/** A table whose names are hosts of registries. */
export function byRegistry<T>(kind: SettingKind<T>): SettingKind<Readonly<Record<string, T>>> {
  const read = (value: TomlValue, checks: HostChecks): Readonly<Record<string, T>> => {
    if (value.kind !== 'table') throw new WrongValue(value, 'not a table', 'Give a table with a host on each line.');
    const entries = readAll([...value.entries], ([host, item]) => {
      checked({ kind: 'text', line: item.line, value: host }, checks.registry);
      return [host, kind.read(item, checks)] as const;
    });
    return Object.fromEntries(entries);
  };
  return { form: `table of host = ${kind.form}`, read };
}

/** Goes on behind a wrong one, so that all of them are told. */
function readAll<I, T>(items: readonly I[], read: (item: I) => T): readonly T[] {
  const wrong: WrongValue[] = [];
  const values = items.flatMap((item) => {
    try {
      return [read(item)];
    } catch (error) {
      wrong.push(...wrongValuesOf(error));
      return [];
    }
  });
  if (wrong.length > 0) throw new WrongValues(wrong);
  return values;
}

function readText(value: TomlValue): string {
  if (value.kind === 'text') return value.value;
  throw new WrongValue(value, 'not a text', 'Put it into quotes.');
}

function checked(value: TomlValue, check: (text: string) => void): string {
  const text = readText(value);
  try {
    check(text);
    return text;
  } catch (error) {
    const { reason, hint = '' } = error as VmRunnerError;
    throw new WrongValue(value, reason, hint);
  }
}
