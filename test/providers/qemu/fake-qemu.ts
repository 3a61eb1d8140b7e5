import { writeFile } from 'node:fs/promises';
import path from 'node:path';

import { writeProgram } from '../../images/support.js';

/** What the program does otherwise than QEMU does. */
export type Trouble =
  /** It refuses to save a guest. */
  | 'save-fails'
  /** It ends while it saves one. */
  | 'dies-saving'
  /** It ends when it shall start one from its kernel. */
  | 'boot-fails'
  /** It ends while it loads one, with a sentence. */
  | 'load-fails';

/**
 * A program that tells a version, fails as a probe, and else serves control sockets as QEMU does: guests are saved by connecting
 * to where they shall go, and loaded from descriptor 3. It knows no other arguments and runs no guest.
 */
const SOURCE = `
const fs = require('node:fs'), net = require('node:net');
const { argv } = process;
if (argv.includes('--version')) { console.log('QEMU emulator version 7.2.0'); process.exit(0); }
if (!argv.includes('-qmp')) process.exit(1);
fs.appendFileSync(__filename + '.started', argv.includes('defer') ? 'clone ' : argv.join(' ').includes('-machine none') ? 'export ' : 'boot ');
const trouble = (name) => fs.existsSync(__filename + '.' + name);
if (trouble('boot-fails') && argv.includes('-kernel')) process.exit(1);
const qmp = argv[argv.indexOf('-qmp') + 1];
const socket = qmp.slice('unix:'.length, qmp.indexOf(','));
// As QEMU does: what another one left there does not matter.
fs.rmSync(socket, { force: true });
let saved = false;
const answer = (client, { execute, id, arguments: given }) => {
  const say = (value) => client.write(JSON.stringify(value) + '\\r\\n');
  if (execute === 'query-migrate') return say({ return: { status: trouble('save-fails') ? 'failed' : saved ? 'completed' : 'active' }, id });
  if (execute === 'migrate') {
    if (trouble('dies-saving')) process.exit(1);
    net.connect(given.uri.slice('unix:'.length)).end('STATE').on('close', () => { saved = true; });
  }
  if (execute === 'migrate-incoming' && (trouble('load-fails') || fs.readFileSync(3, 'utf8') !== 'STATE')) {
    console.error('qemu: error while loading state for instance 0x0');
    process.exit(1);
  }
  say({ return: {}, id });
  if (execute === 'migrate-incoming') say({ event: 'RESUME' });
  if (execute === 'quit') process.exit(0);
};
net.createServer((client) => {
  let rest = '';
  client.on('error', () => {});
  client.write('{"QMP": {}}\\r\\n');
  client.setEncoding('utf8').on('data', (text) => {
    const lines = (rest + text).split('\\n');
    rest = lines.pop();
    for (const line of lines) answer(client, JSON.parse(line));
  });
}).listen(socket);
process.on('SIGTERM', () => {});`;

export interface FakeQemu {
  readonly binary: string;
  /** Makes it do so from now on. */
  readonly trouble: (kind: Trouble) => Promise<void>;
}

export async function writeFakeQemu(directory: string): Promise<FakeQemu> {
  const binary = await writeProgram(directory, 'qemu', SOURCE);
  return { binary, trouble: (kind) => writeFile(`${binary}.${kind}`, '') };
}

/** A file that the program has behind its name: what it was started for, in order. */
export const startedFile = (binary: string): string => path.resolve(`${binary}.started`);
