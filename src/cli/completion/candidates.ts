import { parseArgs } from 'node:util';

import { shapeOf, type Command } from '../command.js';
import { optionsOf, type Flag, type Words } from '../flags.js';

/** Words that are known only when they are asked for. */
export type HostWords = 'vm' | 'vm-or-ended' | 'image' | 'template';
type Ask = (kind: HostWords) => Promise<readonly string[]>;

/** Where the shell looks for itself. */
const FILES = ':file';
const DIRECTORIES = ':directory';

/** What can stand at the end of a command line. @param words those behind `vm-runner`, the last one unfinished */
export async function candidates(
  commands: readonly Command[],
  words: readonly string[],
  ask: Ask,
): Promise<readonly string[]> {
  const [first = '', second = ''] = words;
  const current = words.at(-1) ?? '';
  const names = commands.map(({ name }) => name);
  if (words.length <= 1) return starting([...names.map(firstWord), 'help', '--help', '--version'], current);
  if (first === 'help') return namesOf(names, words.slice(1));
  const long = words.length > 2 ? commands.find(({ name }) => name === `${first} ${second}`) : undefined;
  if (long !== undefined) return await ofCommand(long, words.slice(2), ask);
  const family = words.length === 2 ? namesOf(names, words) : [];
  const command = commands.find(({ name }) => name === first);
  return [...family, ...(command === undefined ? [] : await ofCommand(command, words.slice(1), ask))];
}

/** Names of commands that go on like that: their first words, or their second. */
function namesOf(names: readonly string[], words: readonly string[]): readonly string[] {
  const current = words.at(-1) ?? '';
  if (words.length === 1) return starting(names.map(firstWord), current);
  const seconds = names.filter((name) => name.startsWith(`${words[0] ?? ''} `)).map((name) => name.split(' ')[1] ?? '');
  return words.length === 2 ? starting(seconds, current) : [];
}

async function ofCommand(command: Command, words: readonly string[], ask: Ask): Promise<readonly string[]> {
  const shape = shapeOf(command);
  const current = words.at(-1) ?? '';
  const before = words.slice(0, -1);
  const options = { options: optionsOf(shape), strict: false, allowPositionals: true, tokens: true } as const;
  const { tokens } = parseArgs({ args: before, ...options });
  const behindDashes = tokens.some(({ kind }) => kind === 'option-terminator');
  const operands = tokens.filter(({ kind }) => kind === 'positional').length;
  const isProgram = command.takesProgram === 'behind operands' && operands >= command.operands.most;
  if (behindDashes || isProgram) return [FILES];
  const last = tokens.at(-1);
  if (last?.kind === 'option' && last.value === undefined) {
    const flag = shape.flags.find(({ name, value }) => name === last.name && value !== undefined);
    if (flag !== undefined) return await offered(flag.words, current, ask);
  }
  const [, name, text] = /^--([^=]+)=(.*)$/.exec(current) ?? [];
  const named = shape.flags.find((flag) => flag.name === name);
  if (named !== undefined && text !== undefined) {
    const values = await offered(named.words, text, ask);
    return values.map((value) => (value.startsWith(':') ? value : `--${named.name}=${value}`));
  }
  if (current.startsWith('-')) {
    const used = new Set(tokens.map((token) => (token.kind === 'option' ? token.name : '')));
    const free = ({ name: own, repeatable }: Flag): boolean => repeatable === true || !used.has(own);
    return starting(
      shape.flags.filter(free).map((flag) => `--${flag.name}`),
      current,
    );
  }
  if (operands >= command.operands.most) return [];
  return await offered(command.operands.words?.[operands] ?? command.operands.words?.at(-1), current, ask);
}

async function offered(words: Words | undefined, current: string, ask: Ask): Promise<readonly string[]> {
  switch (words) {
    case undefined:
      return [];
    case 'file':
      return [FILES];
    case 'directory':
      return [DIRECTORIES];
    case 'place':
      // A file here, or one in a VM, whose path nobody but its guest knows.
      if (current.includes(':')) return [];
      return [
        ...starting(
          (await ask('vm')).map((name) => `${name}:/`),
          current,
        ),
        FILES,
      ];
    default:
      return starting(typeof words === 'string' ? await ask(words) : words, current);
  }
}

function firstWord(name: string): string {
  return name.split(' ')[0] ?? name;
}

function starting(words: readonly string[], start: string): readonly string[] {
  return [...new Set(words)].filter((word) => word.startsWith(start));
}
