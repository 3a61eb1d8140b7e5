import { describe, expect, it } from 'vitest';

import { parseFlags, type CommandShape } from '../../src/cli/flags.js';

const flags = [
  { name: 'image', value: 'REF', doc: '' },
  { name: 'env', short: 'e', value: 'K=V', repeatable: true, doc: '' },
  { name: 'keep', doc: '' },
  { name: 'interactive', short: 'i', doc: '' },
  { name: 'tty', short: 't', doc: '' },
];
const run: CommandShape = {
  name: 'run',
  flags,
  operands: { usage: '', least: 0, most: 0 },
  takesProgram: 'behind dashes',
};
const exec: CommandShape = {
  name: 'exec',
  flags,
  operands: { usage: 'NAME', least: 1, most: 1 },
  takesProgram: 'behind operands',
};
const rm: CommandShape = { name: 'rm', flags: [], operands: { usage: 'NAME…', least: 1, most: Infinity } };

describe('parseFlags', () => {
  it('takes what is behind the dashes as the program, its flags included', () => {
    const parsed = parseFlags(run, [
      '--image',
      'x',
      '-e',
      'A=1',
      '--env=B=2',
      '--keep',
      '--',
      'sh',
      '-c',
      'exit 7',
      '--keep',
    ]);
    expect(parsed.program).toEqual(['sh', '-c', 'exit 7', '--keep']);
    expect(parsed.value('image')).toBe('x');
    expect(parsed.all('env')).toEqual(['A=1', 'B=2']);
    expect(parsed.has('keep')).toBe(true);
  });

  it('takes what is behind the name as the program of exec, with or without dashes', () => {
    for (const dashes of [[], ['--']]) {
      const parsed = parseFlags(exec, ['-it', '-e', 'A=1', 'vm-1', ...dashes, 'ls', '-l', '--', '-e']);
      expect(parsed.operands).toEqual(['vm-1']);
      expect(parsed.program).toEqual(['ls', '-l', '--', '-e']);
      expect([parsed.has('interactive'), parsed.has('tty'), parsed.value('env')]).toEqual([true, true, 'A=1']);
    }
  });

  it('reports all mistakes together', () => {
    expect(() => parseFlags(run, ['--imagee', 'x', '--keep=yes', '--image'])).toThrow(
      [
        '4 mistakes in what was given:',
        '- unknown flag: --imagee. Did you mean --image? See: vm-runner run --help',
        '- flag takes no value: --keep=yes. See: vm-runner run --help',
        '- flag needs a value (REF): --image. See: vm-runner run --help',
        '- unexpected argument: x. Put the program for the guest behind --: vm-runner run -- x …',
      ].join('\n'),
    );
  });

  it('advises once when the dashes were forgotten', () => {
    expect(() => parseFlags(run, ['make', 'test', 'all'])).toThrow(
      /^unexpected argument: make\. Put the program for the guest behind --: vm-runner run -- make …$/,
    );
  });

  it('says which argument is missing', () => {
    expect(() => parseFlags(rm, [])).toThrow('argument missing: NAME…. See: vm-runner rm --help');
  });
});
