import { VmRunnerError } from '../core/errors.js';
import { suggest } from '../core/suggest.js';
import type { SettingOrigin } from './host-config.js';
import { wrongValuesOf, type HostChecks } from './kinds.js';
import type { Settings, Values } from './schema.js';
import { renderToml, type TomlTable, type TomlValue } from './toml.js';

/** One pass over a host file: what is wrong is collected, so that all of it is told at once. */
export class Reading {
  readonly origins = new Map<string, SettingOrigin>();
  readonly #file: string;
  readonly #checks: HostChecks;
  readonly #mistakes: { readonly line: number; readonly error: VmRunnerError }[] = [];

  constructor(file: string, checks: HostChecks) {
    this.#file = file;
    this.#checks = checks;
  }

  /** From the top of the file to its end. */
  get mistakes(): readonly VmRunnerError[] {
    return this.#mistakes.toSorted((a, b) => a.line - b.line).map(({ error }) => error);
  }

  mistake(line: number, reason: string, subject: string, hint: string): void {
    const options = { subject, ...(hint === '' ? {} : { hint }) };
    const error = new VmRunnerError('host-config-invalid', `${this.#file}:${line}: ${reason}`, options);
    this.#mistakes.push({ line, error });
  }

  /** Tables and names that are not there are mistakes, with what was meant when that is near. */
  checkNames(table: TomlTable, known: readonly string[], where: string): void {
    for (const [name, { line, kind }] of table.entries) {
      if (known.includes(name)) continue;
      const meant = suggest(name, known);
      const hint = meant === undefined ? `There is: ${known.join(', ')}.` : `Did you mean "${meant}"?`;
      this.mistake(line, kind === 'table' ? 'no such table' : 'no such setting', where + name, hint);
    }
  }

  /** The table of that name; an empty one when it is not there, or is none. */
  table(parent: TomlTable, name: string, path = name): TomlTable {
    const value = parent.entries.get(name);
    if (value?.kind === 'table') return value;
    if (value !== undefined) this.mistake(value.line, 'not a table', path, `Write it as [${path}].`);
    return { kind: 'table', line: value?.line ?? 0, entries: new Map() };
  }

  /** @param path of the table: `limits`, `images.node` */
  values<S extends Settings>(table: TomlTable, path: string, settings: S): Values<S> {
    this.checkNames(table, Object.keys(settings), `${path}.`);
    const read = Object.entries(settings).map(([name, { kind }]) => {
      const value = table.entries.get(name);
      return [name, value === undefined ? undefined : this.#value(value, `${path}.${name}`, kind.read)] as const;
    });
    return Object.fromEntries(read) as Values<S>;
  }

  #value<T>(value: TomlValue, path: string, read: (value: TomlValue, checks: HostChecks) => T): T | undefined {
    try {
      const result = read(value, this.#checks);
      this.#remember(value, path);
      return result;
    } catch (error) {
      for (const { line, reason, given, hint } of wrongValuesOf(error)) {
        this.mistake(line, reason, `${path} = ${given}`, hint);
      }
      return undefined;
    }
  }

  #remember(value: TomlValue, path: string): void {
    if (value.kind === 'table') {
      for (const [name, item] of value.entries) this.#remember(item, `${path}."${name}"`);
      return;
    }
    const text = value.kind === 'text' ? value.value : renderToml(value);
    this.origins.set(path, { place: `${this.#file}:${value.line}`, text });
  }
}
