import { settingsInForce, type SettingInForce } from '../../config/in-force.js';
import { storeHome } from '../../store/home.js';
import { JSON_FLAG, type Command } from '../command.js';
import { renderTable } from '../table.js';
import type { World } from '../world.js';

export const config: Command = {
  name: 'config',
  summary: 'Show what is in force on this host, and who said it',
  description:
    'Prints every setting of the host file as it is in force and where it comes from: default, FILE:LINE or environment NAME. A host file that cannot be used is told with all its mistakes, and exit code 125. docs/HOST.md has what each setting means.',
  flags: [JSON_FLAG, { name: 'check', doc: 'Print nothing when there is no mistake' }],
  operands: { usage: '', least: 0, most: 0 },
  examples: [
    ['vm-runner config', 'What is in force, and which file or variable says so'],
    ['vm-runner config --check --config new.toml', 'Try a host file before it is used'],
  ],
  run: async (flags, world) => {
    const host = await world.config();
    const settings = [storeSetting(world), ...settingsInForce(host)];
    if (flags.has('check')) return 0;
    if (flags.has('json')) {
      world.stdout.write(`${JSON.stringify({ file: host.file ?? null, settings }, undefined, 2)}\n`);
      return 0;
    }
    world.stdout.write(`Host file: ${host.file ?? 'none'}\n\n`);
    const rows = settings.map(({ setting, value, from }) => [setting, value, from]);
    world.stdout.write(renderTable(['SETTING', 'VALUE', 'FROM'], rows));
    return 0;
  },
};

/** Not of the host file: whoever reads the list wants to know what it is about. */
function storeSetting({ env, uid }: World): SettingInForce {
  const from = env['VM_RUNNER_HOME'] ? 'environment VM_RUNNER_HOME' : 'default';
  return { setting: 'store', value: storeHome(env, uid), from };
}
