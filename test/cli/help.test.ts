import { describe, expect, it } from 'vitest';

import { CATALOG, COMMANDS } from '../../src/cli/catalog.js';
import { renderFamily, renderHelp, renderOverview } from '../../src/cli/help.js';
import { vmRunner } from '../support/command-line.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

function longest(text: string): number {
  return Math.max(...text.split('\n').map((line) => line.length));
}

describe('help', () => {
  it('names every command once', () => {
    const overview = renderOverview(CATALOG, '1.2.3');
    for (const { name, summary } of COMMANDS) {
      expect(
        overview.split('\n').filter((line) => line.startsWith(`  ${name}  `)),
        name,
      ).toHaveLength(1);
      expect(overview.replaceAll(/\n +/g, ' '), name).toContain(summary);
    }
  });

  it('fits the terminal, and is not wider than can be read', () => {
    // Lines of examples are for copying.
    const withoutExamples = COMMANDS.map((command) => ({ ...command, examples: [] }));
    for (const columns of [72, 80, 300, undefined]) {
      const most = Math.min(100, columns ?? 100);
      expect(longest(renderOverview(CATALOG, '1.2.3', columns)), `overview at ${columns}`).toBeLessThanOrEqual(most);
      for (const command of withoutExamples) {
        expect(longest(renderHelp(command, columns)), `${command.name} at ${columns}`).toBeLessThanOrEqual(most);
      }
    }
  });

  it('says what each exit code means', () => {
    for (const command of COMMANDS) expect(renderHelp(command)).toMatch(/^Exit codes:\n {2}0.*\n[^]*^ {2}125 /m);
  });

  it('lists a family of commands', () => {
    const family = COMMANDS.filter(({ name }) => name.startsWith('image '));
    expect(renderFamily('image', family)).toMatch(/^Usage: vm-runner image COMMAND \[flags\]\n\n {2}image pull /);
  });

  it('is the same asked for before and behind a command', async () => {
    const home = await temporaryDirectory();
    const of = async (...args: string[]): Promise<string> => {
      const { exitCode, stdout, stderr } = await vmRunner(args, { home });
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
      return stdout;
    };
    expect(await of('help', 'image', 'pull')).toBe(await of('image', 'pull', '--help'));
    expect(await of('help', 'exec')).toBe(await of('exec', '-h'));
    expect(await of('help', 'image')).toBe(await of('image', '--help'));
    expect(await of('help')).toBe(await of('--help'));
    expect(await of('help', 'templates')).toContain('Usage: vm-runner templates [flags]');
  });
});
