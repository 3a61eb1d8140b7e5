import { describe, expect, it } from 'vitest';

import { renderTable } from '../../src/cli/table.js';

const HEADER = ['NAME', 'IMAGE', 'STATE'];
const ROWS = [
  ['box', 'registry.example.org/some/where/image:1.2.3', 'ready'],
  ['vm-0123456789', 'default', 'orphan: owner is gone'],
];

describe('a table', () => {
  it('has columns as wide as what is in them where nothing limits it', () => {
    expect(renderTable(HEADER, ROWS)).toBe(
      [
        'NAME            IMAGE                                         STATE',
        'box             registry.example.org/some/where/image:1.2.3   ready',
        'vm-0123456789   default                                       orphan: owner is gone',
        '',
      ].join('\n'),
    );
  });

  it.each([80, 60, 40])('fits %i columns by cutting the widest', (width) => {
    const lines = renderTable(HEADER, ROWS, width).trimEnd().split('\n');
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(width);
    expect(lines[1]).toContain('…');
  });

  it('keeps the heads in a terminal that is too narrow for everything', () => {
    expect(renderTable(HEADER, ROWS, 5).split('\n')[0]).toBe('NAME     IMAGE    STATE');
  });
});
