import { VmRunnerError } from '../../core/errors.js';
import type { Command } from '../command.js';
import { COMPLETION_SCRIPTS, isShell, SHELLS } from '../completion/scripts.js';

export const completion: Command = {
  name: 'completion',
  hostless: true,
  summary: 'Print a script that has a shell complete command lines',
  description:
    'Prints a script for bash, zsh or fish. It asks vm-runner itself what can stand where the cursor is, so it stays right after an upgrade: commands, flags, their values, and names of VMs, images and templates of this host.',
  flags: [],
  operands: { usage: SHELLS.join('|'), least: 1, most: 1, words: [SHELLS] },
  examples: [
    ['source <(vm-runner completion bash)', 'In ~/.bashrc'],
    ['source <(vm-runner completion zsh)', 'In ~/.zshrc, behind compinit'],
    ['vm-runner completion fish | source', 'In ~/.config/fish/config.fish'],
  ],
  run: ({ operands: [shell = ''] }, world) => {
    if (!isShell(shell)) {
      throw new VmRunnerError('invalid-input', 'no completion for this shell', {
        subject: shell,
        hint: `Give one of: ${SHELLS.join(', ')}.`,
      });
    }
    world.stdout.write(COMPLETION_SCRIPTS[shell]);
    return Promise.resolve(0);
  },
};
