import { readFileSync } from 'node:fs';
import path from 'node:path';

import { format } from 'prettier';
import { expect, it } from 'vitest';

import { SCHEMA, TABLE_DOCS, TABLE_NAMES, type Settings, type TableName } from '../../src/config/schema.js';

const PAGE = path.resolve(import.meta.dirname, '../../docs/HOST.md');
const MARK = /^<!-- Below: .*-->$/m;

function section(table: TableName): string {
  const settings: Settings = SCHEMA[table];
  const rows = Object.entries(settings).map(
    ([name, { kind, otherwise, doc }]) => `| \`${name}\` | ${kind.form} | ${otherwise} | ${doc} |`,
  );
  const head = table === 'images' ? '[images.NAME]' : `[${table}]`;
  return [
    `### ${head}`,
    TABLE_DOCS[table],
    ['| setting | value | without it | |', '|---|---|---|---|', ...rows].join('\n'),
  ].join('\n\n');
}

it('docs/HOST.md has every setting, as the schema says', async () => {
  const page = readFileSync(PAGE, 'utf8');
  const mark = MARK.exec(page);
  if (mark === null) throw new Error('the mark is gone from docs/HOST.md');
  const head = page.slice(0, mark.index + mark[0].length);
  const whole = [head, ...TABLE_NAMES.map(section)].join('\n\n');
  await expect(await format(whole, { parser: 'markdown', printWidth: 120 })).toMatchFileSnapshot(PAGE);
});
