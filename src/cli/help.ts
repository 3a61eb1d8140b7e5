import type { CommandGroup } from './catalog.js';
import { shapeOf, type Command } from './command.js';
import { EXIT_CODES } from './exit-code.js';
import type { Flag } from './flags.js';

/** Lines longer than this are hard to read, however wide the terminal is. */
const MOST_WIDTH = 100;
const LEAST_WIDTH = 40;
const FLAGS = 'Flags';

/** What each command is for. @param columns of the terminal; absent: no terminal */
export function renderOverview(groups: readonly CommandGroup[], version: string, columns?: number): string {
  const width = widthOf(columns);
  const names = groups.flatMap(({ commands }) => commands.map(({ name }) => name.length));
  const left = Math.max(...names) + 4;
  return [
    `vm-runner ${version}: runs each job in a fresh virtual machine`,
    '',
    'Usage: vm-runner COMMAND [flags]',
    ...groups.flatMap(({ title, commands }) => [
      '',
      `${title}:`,
      ...commands.flatMap(({ name, summary }) => row(`  ${name}`, left, summary, width)),
    ]),
    '',
    'Environment:',
    ...ENVIRONMENT.flatMap(([name, doc]) => row(`  ${name}`, 30, doc, width)),
    '',
    ...wrap('More of each command, its exit codes too: vm-runner help COMMAND', width),
    '',
  ].join('\n');
}

/** What the environment says, for the overview and docs/CLI.md. */
export const ENVIRONMENT: readonly (readonly [name: string, doc: string])[] = [
  ['VM_RUNNER_HOME', 'The store (default: /var/lib/vm-runner for root, else vm-runner in the XDG data directory)'],
  ['VM_RUNNER_CONFIG', 'The host file, as --config'],
  ['VM_RUNNER_QEMU', 'Another QEMU than qemu-system-x86_64'],
  ['VM_RUNNER_ISOLATE_TEMPLATES', '1: copies the memory of a template for each VM'],
  ['DOCKER_CONFIG', 'Where credentials for registries are, as docker has it'],
  ['HTTPS_PROXY, HTTP_PROXY, NO_PROXY', 'What they mean elsewhere, for registries'],
];

/** All about one command. */
export function renderHelp(command: Command, columns?: number): string {
  const width = widthOf(columns);
  const groups = flagGroups(command);
  const left = Math.max(...groups.flatMap(({ flags }) => flags.map((flag) => flagColumn(flag).length))) + 4;
  return [
    `Usage: ${usageOf(command)}`,
    '',
    ...wrap(command.description, width),
    ...groups.flatMap(({ title, flags }) => [
      '',
      `${title}:`,
      ...flags.flatMap((flag) => row(`  ${flagColumn(flag)}`, left, flagDoc(flag), width)),
    ]),
    ...(command.examples ?? []).flatMap(([line, doc], index) => [
      ...(index === 0 ? ['', 'Examples:'] : []),
      `  ${line}`,
      `      ${doc}`,
    ]),
    '',
    'Exit codes:',
    ...(command.exitCodes ?? EXIT_CODES).flatMap(([code, doc]) => row(`  ${code}`, 17, doc, width)),
    '',
  ].join('\n');
}

/** What there is of a family of commands, such as `image`. */
export function renderFamily(word: string, commands: readonly Command[], columns?: number): string {
  const left = Math.max(...commands.map(({ name }) => name.length)) + 4;
  const rows = commands.flatMap(({ name, summary }) => row(`  ${name}`, left, summary, widthOf(columns)));
  return [`Usage: vm-runner ${word} COMMAND [flags]`, '', ...rows, ''].join('\n');
}

export function usageOf({ name, operands, takesProgram }: Command): string {
  const program = takesProgram === undefined ? '' : takesProgram === 'behind dashes' ? ' [-- PROGRAM…]' : ' PROGRAM…';
  return `vm-runner ${name} [flags]${operands.usage === '' ? '' : ` ${operands.usage}`}${program}`;
}

export interface FlagGroup {
  readonly title: string;
  readonly flags: readonly Flag[];
}

/** Its own first, those that are everywhere last. */
export function flagGroups(command: Command): readonly FlagGroup[] {
  const { flags } = shapeOf(command);
  const titles = [...new Set(flags.map(({ group = FLAGS }) => group))];
  return titles.map((title) => ({ title, flags: flags.filter(({ group = FLAGS }) => group === title) }));
}

export function flagDoc({ doc, repeatable }: Flag): string {
  return `${doc}${repeatable === true ? ' (repeatable)' : ''}`;
}

function flagColumn({ name, short, value }: Flag): string {
  return `${short === undefined ? '    ' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}`;
}

function widthOf(columns: number = MOST_WIDTH): number {
  return Math.min(MOST_WIDTH, Math.max(LEAST_WIDTH, columns));
}

/** Two columns, of which the right one may take several lines. */
function row(leftText: string, left: number, right: string, width: number): string[] {
  // What is too long for its column stands above it.
  const [above, first] = leftText.length + 1 > left ? [[leftText], ''] : [[], leftText];
  const lines = wrap(right, Math.max(LEAST_WIDTH / 2, width - left));
  return [...above, ...lines.map((line, index) => (index === 0 ? first : '').padEnd(left) + line)];
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const paragraph of text.split('\n')) {
    let line = '';
    for (const word of paragraph.split(' ')) {
      if (line !== '' && line.length + 1 + word.length > width) {
        lines.push(line);
        line = word;
      } else {
        line = line === '' ? word : `${line} ${word}`;
      }
    }
    lines.push(line);
  }
  return lines;
}
