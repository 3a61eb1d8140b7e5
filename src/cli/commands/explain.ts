import { VmRunnerError } from '../../core/errors.js';
import { ERROR_CODES, ERROR_KINDS } from '../../core/error-codes.js';
import { JSON_FLAG, type Command } from '../command.js';

const WHOSE = {
  user: 'the job’s: its author can mend it',
  infra: 'the host’s: its operator can mend it',
  bug: 'vm-runner’s own',
};

export const explain: Command = {
  name: 'explain',
  hostless: true,
  summary: 'Say what the code of an error means, and what to do about it',
  description:
    'Every error carries a code: error[disk-full]. This tells what it means, what usually is behind it, and what to do. Without a code it lists them all.',
  flags: [JSON_FLAG],
  operands: { usage: '[CODE]', least: 0, most: 1, words: [ERROR_CODES] },
  examples: [
    ['vm-runner explain no-capacity', 'What is behind an error, and what to do'],
    ['vm-runner explain', 'All codes'],
  ],
  run: (flags, world) => {
    const [code] = flags.operands;
    const codes = code === undefined ? ERROR_CODES : ERROR_CODES.filter((known) => known === code);
    if (codes.length === 0) {
      throw new VmRunnerError('invalid-input', 'no such code of an error', {
        subject: code ?? '',
        hint: 'See all of them with: vm-runner explain',
      });
    }
    if (flags.has('json')) {
      const list = codes.map((known) => ({ code: known, ...ERROR_KINDS[known] }));
      world.stdout.write(`${JSON.stringify(list, undefined, 2)}\n`);
    } else if (code === undefined) {
      const width = Math.max(...codes.map((known) => known.length));
      for (const known of codes) world.stdout.write(`${known.padEnd(width)}  ${ERROR_KINDS[known].meaning}\n`);
    } else {
      for (const known of codes) world.stdout.write(explanation(known));
    }
    return Promise.resolve(0);
  },
};

function explanation(code: keyof typeof ERROR_KINDS): string {
  const { blame, meaning, causes, remedy } = ERROR_KINDS[code];
  return [
    `${code}: ${meaning}`,
    '',
    `Whose fault: ${WHOSE[blame]}.`,
    'Usually behind it:',
    ...causes.map((cause) => `  - ${cause}`),
    'What to do:',
    `  ${remedy}`,
    '',
  ].join('\n');
}
