import { readFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

import { INPUTS, OUTPUTS, type InputDefinition } from '../../src/action/input-table.js';
import { INPUT_NAMES } from '../../src/action/input-table.js';

const ROOT = path.resolve(import.meta.dirname, '../..');
const read = (name: string): string => readFileSync(path.join(ROOT, name), 'utf8');

interface Definition {
  readonly inputs: Readonly<Record<string, { description: string; required: boolean; default?: string }>>;
  readonly outputs: Readonly<Record<string, { description: string }>>;
  readonly runs: Readonly<Record<string, string>>;
}

describe('action.yml', () => {
  const definition = parse(read('action.yml')) as Definition;

  it('has the inputs of the table, with the same words and defaults', () => {
    const expected = Object.entries<InputDefinition>(INPUTS).map(
      ([name, { description, required, default: value }]) => [
        name,
        { description, required, ...(value === undefined ? {} : { default: value }) },
      ],
    );
    expect(definition.inputs).toEqual(Object.fromEntries(expected));
  });

  it('has the outputs of the table', () => {
    const expected = Object.entries(OUTPUTS).map(([name, description]) => [name, { description }]);
    expect(definition.outputs).toEqual(Object.fromEntries(expected));
  });

  it('runs main and post under Node 24, post always, and nothing before', () => {
    expect(definition.runs).toEqual({ using: 'node24', main: 'dist/main/index.js', post: 'dist/post/index.js' });
  });
});

describe('docs/GITHUB.md', () => {
  const rows = [...read('docs/GITHUB.md').matchAll(/^\| `([a-z-]+)`(\\\*)? \|(.*)\|$/gm)].map(
    ([, name = '', star, rest = '']) => ({
      name,
      required: star !== undefined,
      cells: rest.split(/(?<!\\)\|/).map((cell) => cell.trim()),
    }),
  );

  it('tells every input with its default', () => {
    const expected = INPUT_NAMES.map((name) => {
      const { description, required, default: value } = INPUTS[name];
      return { name, required, cells: [value === undefined ? '' : `\`${value}\``, description] };
    });
    expect(rows.filter((row) => row.cells.length === 2)).toEqual(expected);
  });

  it('tells every output', () => {
    const expected = Object.entries(OUTPUTS).map(([name, description]) => ({
      name,
      required: false,
      cells: [description],
    }));
    expect(rows.filter((row) => row.cells.length === 1)).toEqual(expected);
  });
});

describe('.github/workflows', () => {
  it.each(['ci.yml', 'example.yml'])('%s may only read, and pins what is not ours by commit', (name) => {
    const text = read(`.github/workflows/${name}`);
    const workflow = parse(text) as { permissions: unknown };
    expect(workflow.permissions).toEqual({ contents: 'read' });
    const uses = [...text.matchAll(/uses: *(\S+)(.*)$/gm)].map(([, action = '', comment = '']) => ({
      action,
      comment,
    }));
    expect(uses.length).toBeGreaterThan(0);
    for (const { action, comment } of uses.filter((use) => !use.action.startsWith('./'))) {
      expect(action).toMatch(/@[0-9a-f]{40}$/);
      expect(comment).toMatch(/^ # v\d+\.\d+\.\d+$/);
    }
  });
});
