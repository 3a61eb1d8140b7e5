import path from 'node:path';

import { format } from 'prettier';
import { describe, expect, it } from 'vitest';

import { CATALOG, COMMANDS } from '../../src/cli/catalog.js';
import { CONFIG_FLAG, HELP_FLAG, type Command } from '../../src/cli/command.js';
import { EXIT_CODES } from '../../src/cli/exit-code.js';
import type { Flag } from '../../src/cli/flags.js';
import { ENVIRONMENT, flagDoc, flagGroups, usageOf } from '../../src/cli/help.js';

const PAGE = path.resolve(import.meta.dirname, '../../docs/CLI.md');
const EVERYWHERE: readonly string[] = [CONFIG_FLAG.name, HELP_FLAG.name];

function table(head: readonly [string, string], rows: readonly (readonly [string, string])[]): string {
  const cell = (text: string): string => text.replaceAll('|', '\\|');
  return [head, ['---', '---'], ...rows].map(([left, right]) => `| ${cell(left)} | ${cell(right)} |`).join('\n');
}

function flagRow(flag: Flag): readonly [string, string] {
  const { name, short, value } = flag;
  const long = `\`--${name}${value === undefined ? '' : ` ${value}`}\``;
  return [short === undefined ? long : `\`-${short}\`, ${long}`, flagDoc(flag)];
}

function section(command: Command): string {
  const own = flagGroups(command)
    .map(({ title, flags }) => ({ title, flags: flags.filter(({ name }) => !EVERYWHERE.includes(name)) }))
    .filter(({ flags }) => flags.length > 0);
  const { examples = [], exitCodes = EXIT_CODES } = command;
  return [
    `### ${command.name}`,
    command.description,
    `\`\`\`sh\n${usageOf(command)}\n\`\`\``,
    ...own.map(({ title, flags }) => table([title, ''], flags.map(flagRow))),
    ...(examples.length === 0
      ? []
      : [`\`\`\`sh\n${examples.map(([line, doc]) => `# ${doc}\n${line}`).join('\n')}\n\`\`\``]),
    ...(exitCodes === EXIT_CODES ? [] : [table(['exit code', ''], exitCodes)]),
  ].join('\n\n');
}

function page(): string {
  const groups = CATALOG.map(({ title, commands }) => [`## ${title}`, ...commands.map(section)].join('\n\n'));
  return [
    '# The command line',
    'What `vm-runner help COMMAND` shows, on one page. Standard output is for what was asked for: the output of a guest, a list, JSON. vm-runner itself speaks on standard error, and every error carries a code: [ERRORS.md](ERRORS.md).',
    '<!-- Made of src/cli by: npx vitest run -u test/docs -->',
    'Where a command has no table of its own, its exit codes are:',
    table(['exit code', ''], EXIT_CODES),
    'Every command has these, those that have nothing to do with this host only the second:',
    table(['Everywhere', ''], [CONFIG_FLAG, HELP_FLAG].map(flagRow)),
    table(
      ['Environment', ''],
      ENVIRONMENT.map(([name, doc]) => [`\`${name}\``, doc]),
    ),
    ...groups,
  ].join('\n\n');
}

describe('the page of the command line', () => {
  it('has every command and flag', async () => {
    await expect(await format(page(), { parser: 'markdown', printWidth: 120 })).toMatchFileSnapshot(PAGE);
  });

  it('shows how each command is used', () => {
    for (const { name, examples = [] } of COMMANDS) expect(examples.length, name).toBeGreaterThan(0);
  });
});
