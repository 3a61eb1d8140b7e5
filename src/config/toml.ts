import { parseTOML, type AST } from 'toml-eslint-parser';

/** What stands in a TOML file, with where: tables however they were written, in brackets, with dots or inline. */
export type TomlValue =
  | { readonly kind: 'text'; readonly line: number; readonly value: string }
  | { readonly kind: 'number'; readonly line: number; readonly value: number }
  | { readonly kind: 'boolean'; readonly line: number; readonly value: boolean }
  /** TOML's dates and times, which no setting takes. */
  | { readonly kind: 'time'; readonly line: number; readonly value: string }
  | { readonly kind: 'list'; readonly line: number; readonly items: readonly TomlValue[] }
  | TomlTable;

export interface TomlTable {
  readonly kind: 'table';
  /** Of its first mention. */
  readonly line: number;
  readonly entries: ReadonlyMap<string, TomlValue>;
}

/** A file that is no TOML: nothing of it can be told but the first place. */
export class TomlError extends Error {
  readonly line: number;

  constructor(line: number, text: string) {
    super(text);
    this.line = line;
  }
}

/** @throws TomlError */
export function parseToml(text: string): TomlTable {
  const root: OpenTable = { kind: 'table', line: 1, entries: new Map() };
  for (const node of parse(text).body[0].body) {
    if (node.type === 'TOMLKeyValue') {
      addPair(root, node);
      continue;
    }
    const table = descend(root, node.resolvedKey, node.loc.start.line);
    for (const pair of node.body) addPair(table, pair);
  }
  return root;
}

function parse(text: string): AST.TOMLProgram {
  try {
    return parseTOML(text, { tomlVersion: '1.0.0' });
  } catch (error) {
    if (error instanceof SyntaxError && 'lineNumber' in error && typeof error.lineNumber === 'number') {
      throw new TomlError(error.lineNumber, error.message);
    }
    throw error;
  }
}

interface OpenTable extends TomlTable {
  readonly entries: Map<string, TomlValue>;
}

function addPair(table: OpenTable, { key, value, loc }: AST.TOMLKeyValue): void {
  const names = key.keys.map((part) => (part.type === 'TOMLBare' ? part.name : part.value));
  const last = names.pop() ?? '';
  descend(table, names, loc.start.line).entries.set(last, valueOf(value));
}

/** The table of that path, made where it is not there yet. Tables in an array are told apart by their number. */
function descend(from: OpenTable, path: readonly (string | number)[], line: number): OpenTable {
  let table = from;
  for (const part of path) {
    const name = String(part);
    const present = table.entries.get(name);
    const next: OpenTable =
      present?.kind === 'table' ? (present as OpenTable) : { kind: 'table', line, entries: new Map() };
    table.entries.set(name, next);
    table = next;
  }
  return table;
}

function valueOf(node: AST.TOMLContentNode): TomlValue {
  const { line } = node.loc.start;
  if (node.type === 'TOMLArray') return { kind: 'list', line, items: node.elements.map(valueOf) };
  if (node.type === 'TOMLInlineTable') {
    const table: OpenTable = { kind: 'table', line, entries: new Map() };
    for (const pair of node.body) addPair(table, pair);
    return table;
  }
  switch (node.kind) {
    case 'string':
      return { kind: 'text', line, value: node.value };
    case 'integer':
    case 'float':
      return { kind: 'number', line, value: node.value };
    case 'boolean':
      return { kind: 'boolean', line, value: node.value };
    default:
      return { kind: 'time', line, value: node.datetime };
  }
}

/** A value as people write it, in one line. */
export function renderToml(value: TomlValue): string {
  switch (value.kind) {
    case 'list':
      return `[${value.items.map(renderToml).join(', ')}]`;
    case 'table':
      return `{ ${[...value.entries].map(([name, item]) => `${name} = ${renderToml(item)}`).join(', ')} }`;
    case 'text':
      return JSON.stringify(value.value);
    default:
      return String(value.value);
  }
}
