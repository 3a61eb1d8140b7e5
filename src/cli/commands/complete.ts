import type { Command } from '../command.js';
import { COMMANDS } from '../catalog.js';
import { candidates } from '../completion/candidates.js';
import { wordsOfHost } from '../completion/host-words.js';

/**
 * What the scripts of `vm-runner completion` ask: the words of the command line behind `vm-runner`, up to the cursor. It answers
 * with one candidate a line, and `:file` or `:directory` where the shell shall look itself.
 */
export const complete: Command = {
  name: '__complete',
  hidden: true,
  summary: 'Say what can stand at the end of a command line',
  description: 'For the scripts that "vm-runner completion" prints.',
  flags: [],
  operands: { usage: '', least: 0, most: 0 },
  takesProgram: 'behind dashes',
  run: async ({ program }, world) => {
    const found = await candidates(COMMANDS, program, (kind) => wordsOfHost(kind, world));
    world.stdout.write(found.map((word) => `${word}\n`).join(''));
    return 0;
  },
};
