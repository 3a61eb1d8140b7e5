import { VmRunnerError } from '../core/errors.js';
import { suggest } from '../core/suggest.js';
import type { Command } from './command.js';
import { attach } from './commands/attach.js';
import { commit } from './commands/commit.js';
import { completion } from './commands/completion.js';
import { config } from './commands/config.js';
import { cp } from './commands/cp.js';
import { doctor } from './commands/doctor.js';
import { events } from './commands/events.js';
import { execCommand } from './commands/exec.js';
import { explain } from './commands/explain.js';
import { gc } from './commands/gc.js';
import { imageExport } from './commands/image/export.js';
import { imageImport } from './commands/image/import.js';
import { imageInspect } from './commands/image/inspect.js';
import { imagePrepare } from './commands/image/prepare.js';
import { imagePull } from './commands/image/pull.js';
import { imageRm } from './commands/image/rm.js';
import { images } from './commands/images.js';
import { inspect } from './commands/inspect.js';
import { logs } from './commands/logs.js';
import { pool } from './commands/pool.js';
import { ps } from './commands/ps.js';
import { rm } from './commands/rm.js';
import { runCommand } from './commands/run.js';
import { stats } from './commands/stats.js';
import { templates, templatesRm } from './commands/templates.js';

export interface CommandGroup {
  readonly title: string;
  readonly commands: readonly Command[];
}

/** Every command there is, as the help and docs/CLI.md show them. */
export const CATALOG: readonly CommandGroup[] = [
  { title: 'Jobs and their VMs', commands: [runCommand, execCommand, attach, cp, commit, rm] },
  { title: 'Looking', commands: [ps, stats, logs, inspect, events] },
  {
    title: 'Images and templates',
    commands: [
      ...[images, imagePull, imageInspect, imageRm, imagePrepare, imageImport, imageExport],
      ...[templates, templatesRm],
    ],
  },
  { title: 'This host', commands: [doctor, gc, pool, config] },
  { title: 'Help', commands: [explain, completion] },
];

export const COMMANDS: readonly Command[] = CATALOG.flatMap(({ commands }) => commands);

/** Commands that begin with the same word: `image pull`, `image rm` and so on. */
export function familyOf(word: string, commands: readonly Command[] = COMMANDS): readonly Command[] {
  return commands.filter(({ name }) => name.startsWith(`${word} `));
}

/**
 * The command that the first word names, or the first two (`image pull`).
 * @throws invalid-input with what was meant, where that can be guessed
 */
export function findCommand(
  [first = '', ...tail]: readonly string[],
  commands: readonly Command[] = COMMANDS,
): { readonly command: Command; readonly rest: readonly string[] } {
  const [second = ''] = tail;
  const long = commands.find(({ name }) => name === `${first} ${second}`);
  if (long !== undefined) return { command: long, rest: tail.slice(1) };
  const command = commands.find(({ name }) => name === first);
  if (command !== undefined) return { command, rest: tail };
  const family = familyOf(first, commands).map(({ name }) => name);
  if (family.length > 0) throw unknown(`${first} ${second}`.trim(), family, `There is: ${family.join(', ')}.`);
  const words = commands.filter(({ hidden }) => hidden !== true).map(({ name }) => name.split(' ')[0] ?? name);
  throw unknown(first, words, 'See what there is with: vm-runner --help');
}

function unknown(given: string, names: readonly string[], hint: string): VmRunnerError {
  const meant = suggest(given, names);
  return new VmRunnerError('invalid-input', 'unknown command', {
    subject: given,
    hint: meant === undefined ? hint : `Did you mean ${meant}? ${hint}`,
  });
}
