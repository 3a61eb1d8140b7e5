import { describe, expect, it } from 'vitest';

import { printable } from '../../src/core/printable.js';

describe('printable', () => {
  it.each([
    ['\x1b]0;pwned\x07name', 'name'],
    ['\x1b[31mred\x1b[0m', 'red'],
    ['a\x08\x7f\rb', 'ab'],
    ['abc\u202egnp.exe', 'abcgnp.exe'],
    ['line\n\tindented ü 漢', 'line\n\tindented ü 漢'],
    ['\x1b', ''],
  ])('takes out of %j what a terminal would do', (text, plain) => {
    expect(printable(text)).toBe(plain);
  });
});
