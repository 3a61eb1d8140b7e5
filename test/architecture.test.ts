import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

/** The table of docs/ARCHITECTURE.md: what each room of src/ may import besides itself. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  core: [],
  process: ['core'],
  store: ['core'],
  config: ['core'],
  guest: ['core', 'process', 'store'],
  images: ['core', 'process', 'store', 'config'],
  'providers/qemu': ['core', 'process', 'store', 'config', 'images', 'providers/provider', 'providers/vm-process'],
  'providers/fake': ['core', 'process', 'store', 'config', 'images', 'providers/provider', 'providers/vm-process'],
  'providers/vm-process': ['core', 'process', 'store', 'providers/provider'],
  'providers/provider': ['core', 'store', 'config', 'images'],
  'providers/registry': [
    'core',
    'process',
    'store',
    'config',
    'images',
    'providers/provider',
    'providers/qemu',
    'providers/fake',
  ],
  'providers/host': ['core', 'process', 'store', 'config', 'images', 'providers/provider', 'providers/registry'],
  stages: ['core', 'store', 'config', 'images', 'guest', 'providers/provider'],
  action: ['core', 'process', 'store', 'config', 'images', 'guest', 'stages', 'providers/provider', 'providers/host'],
  gitlab: ['core', 'process', 'store', 'config', 'images', 'guest', 'stages', 'providers/provider', 'providers/host'],
  cli: ['core', 'process', 'store', 'config', 'images', 'guest', 'stages', 'providers/provider', 'providers/host'],
};

/** Packages and Node modules that only one room may use. */
const ONLY_IN: readonly (readonly [RegExp, readonly string[]])[] = [
  [/^(node:)?child_process$|^execa$/, ['process']],
  [/^@actions\//, ['action']],
  [/^@grpc\/|^@bufbuild\//, ['guest']],
  [/^tar-stream$/, []],
];

const SOURCE = path.resolve(import.meta.dirname, '../src');

interface SourceFile {
  readonly name: string;
  readonly room: string;
  readonly text: string;
  /** Own files that it imports, as names relative to src/. */
  readonly own: readonly string[];
  readonly foreign: readonly string[];
}

function sourceFiles(): SourceFile[] {
  const names = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
  return names.map((name) => {
    const text = readFileSync(path.join(SOURCE, name), 'utf8');
    const specifiers = [
      ...text.matchAll(/(?:^|\s)(?:import|export)\s[^'";]*?from\s+['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]/g),
    ].map((match) => match[1] ?? match[2] ?? '');
    const own = specifiers
      .filter((specifier) => specifier.startsWith('.'))
      .map((specifier) => path.join(path.dirname(name), specifier).replace(/\.js$/, '.ts'));
    return {
      name,
      room: roomOf(name),
      text,
      own,
      foreign: specifiers.filter((specifier) => !specifier.startsWith('.')),
    };
  });
}

function roomOf(name: string): string {
  const [first = '', second = ''] = name.split('/');
  return first === 'providers' ? `providers/${second.replace(/\.ts$/, '')}` : first;
}

describe('the house', () => {
  const files = sourceFiles();

  it('has files to look at', () => {
    expect(files.length).toBeGreaterThan(40);
  });

  it('has no room that the table does not know', () => {
    expect(files.filter((file) => !(file.room in MAY_IMPORT)).map((file) => file.name)).toEqual([]);
  });

  it('lets rooms import only what is below them', () => {
    const wrong = files.flatMap((file) =>
      file.own
        .filter((target) => roomOf(target) !== file.room && MAY_IMPORT[file.room]?.includes(roomOf(target)) !== true)
        .map((target) => `${file.name} imports ${target}`),
    );
    expect(wrong).toEqual([]);
  });

  it('keeps packages in the rooms that they are for', () => {
    const wrong = files.flatMap((file) =>
      file.foreign
        .filter((name) => ONLY_IN.some(([pattern, rooms]) => pattern.test(name) && !rooms.includes(file.room)))
        .map((name) => `${file.name} imports ${name}`),
    );
    expect(wrong).toEqual([]);
  });

  it('reads the environment only in the entries of the front ends', () => {
    const readers = files.filter((file) => /process\.(env|argv|exit\b|exitCode)/.test(withoutComments(file.text)));
    expect(
      readers.map((file) => file.name).filter((name) => !/^(cli|gitlab|action)\/(index|post-index)\.ts$/.test(name)),
    ).toEqual([]);
  });

  it('has no file system in core', () => {
    expect(
      files.filter((file) => file.room === 'core' && file.foreign.some((name) => /fs|child_process|net/.test(name))),
    ).toEqual([]);
  });

  it('has no import circles', () => {
    const imports = new Map(files.map((file) => [file.name, file.own]));
    const done = new Set<string>();
    const circles: string[] = [];
    const visit = (name: string, way: readonly string[]): void => {
      if (way.includes(name)) {
        circles.push([...way.slice(way.indexOf(name)), name].join(' -> '));
        return;
      }
      if (done.has(name)) return;
      for (const target of imports.get(name) ?? []) visit(target, [...way, name]);
      done.add(name);
    };
    for (const { name } of files) visit(name, []);
    expect(circles).toEqual([]);
  });

  it('has no room for leftovers', () => {
    expect(
      files.filter((file) => /(^|\/)(utils?|helpers?|common|misc)(\/|\.ts)/.test(file.name)).map((file) => file.name),
    ).toEqual([]);
  });

  it('has no file of more than 300 lines', () => {
    const long = files.filter((file) => !file.name.includes('/gen/') && file.text.split('\n').length > 301);
    expect(long.map((file) => file.name)).toEqual([]);
  });
});

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
}
