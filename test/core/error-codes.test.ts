import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { ERROR_CODES } from '../../src/core/error-codes.js';

function textOf(directory: string): string {
  const root = path.resolve(import.meta.dirname, '../..', directory);
  const names = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
  const others = names.filter((name) => !name.endsWith('core/error-codes.ts') && !name.endsWith('error-codes.test.ts'));
  return others.map((name) => readFileSync(path.join(root, name), 'utf8')).join('\n');
}

const [source, tests] = [textOf('src'), textOf('test')];

describe('each code of an error', () => {
  it.each(ERROR_CODES)('%s can happen, and a test makes it happen', (code) => {
    expect(source).toMatch(new RegExp(`['"]${code}['"]`));
    // As the code of an error that was thrown, or as a program printed it.
    expect(tests).toMatch(new RegExp(`['"\\[]${code}['"\\\\\\]]`));
  });
});
