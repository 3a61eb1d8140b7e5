import type { Command } from './command.js';
import type { Flag } from './flags.js';

const WIDTH = 100;

export function renderOverview(commands: readonly Command[], version: string): string {
  const width = Math.max(...commands.map((command) => command.name.length));
  return [
    `vm-runner ${version}: runs each job in a fresh virtual machine`,
    '',
    'Usage: vm-runner COMMAND [flags]',
    '',
    'Commands:',
    ...commands.map((command) => `  ${command.name.padEnd(width)}  ${command.summary}`),
    '',
    'Each command explains itself with --help. The store is in VM_RUNNER_HOME, else in /var/lib/vm-runner for root, else in',
    'the XDG data directory. VM_RUNNER_QEMU names another QEMU than qemu-system-x86_64. VM_RUNNER_ISOLATE_TEMPLATES=1 copies the',
    'memory of a template for each VM. DOCKER_CONFIG, HTTPS_PROXY, HTTP_PROXY and NO_PROXY mean what they do elsewhere.',
    '',
    'Exit codes of run and exec: that of the program in the guest; 128+n when signal n ended it; 124 when its time was over;',
    '126 and 127 when it could not be run or was not found; 130, 143, 129 after Ctrl-C, SIGTERM, SIGHUP;',
    '141 when nobody reads the output any more; 125 for all that is of vm-runner itself, usage included. doctor answers 1 when',
    'there is a problem.',
    '',
  ].join('\n');
}

export function renderHelp(command: Command): string {
  const program =
    command.takesProgram === undefined ? '' : command.takesProgram === 'behind dashes' ? ' [-- PROGRAM…]' : ' PROGRAM…';
  const operands = command.operands.usage === '' ? '' : ` ${command.operands.usage}`;
  const rows = command.flags.map(
    (flag) => [flagColumn(flag), `${flag.doc}${flag.repeatable === true ? ' (repeatable)' : ''}`] as const,
  );
  const width = Math.max(...rows.map(([left]) => left.length)) + 4;
  return [
    `Usage: vm-runner ${command.name} [flags]${operands}${program}`,
    '',
    ...wrap(command.description, WIDTH),
    '',
    'Flags:',
    ...rows.flatMap(([left, right]) =>
      wrap(right, WIDTH - width).map(
        (line, index) => (index === 0 ? `  ${left}`.padEnd(width) : ' '.repeat(width)) + line,
      ),
    ),
    ...(command.examples ?? []).flatMap(([line, doc], index) => [
      ...(index === 0 ? ['', 'Examples:'] : []),
      `  ${line}`,
      `      ${doc}`,
    ]),
    '',
  ].join('\n');
}

function flagColumn(flag: Flag): string {
  const short = flag.short === undefined ? '    ' : `-${flag.short}, `;
  return `${short}--${flag.name}${flag.value === undefined ? '' : ` ${flag.value}`}`;
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
