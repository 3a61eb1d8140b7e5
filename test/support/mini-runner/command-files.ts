import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const NAMES = ['OUTPUT', 'STATE', 'ENV', 'PATH', 'STEP_SUMMARY'] as const;
type FileName = (typeof NAMES)[number];

/** More than this of a summary the runner does not take (actions/runner, FileCommandManager.cs). */
const LARGEST_SUMMARY = 2 ** 20;

/** The files that one step tells the runner something in: fresh ones for each step. */
export class CommandFiles {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true });
    for (const name of NAMES) writeFileSync(this.#file(name), '');
  }

  /** What the step finds them by. */
  get variables(): Record<string, string> {
    return Object.fromEntries(NAMES.map((name) => [`GITHUB_${name}`, this.#file(name)]));
  }

  pairs(name: 'OUTPUT' | 'STATE' | 'ENV'): Record<string, string> {
    return parsePairs(this.#read(name));
  }

  get paths(): string[] {
    return this.#read('PATH')
      .split('\n')
      .filter((line) => line !== '');
  }

  get summary(): string {
    const text = this.#read('STEP_SUMMARY');
    if (Buffer.byteLength(text) > LARGEST_SUMMARY) throw new Error('the runner takes no summary of more than 1 MiB');
    return text;
  }

  #file(name: FileName): string {
    return path.join(this.#directory, name.toLowerCase());
  }

  #read(name: FileName): string {
    return readFileSync(this.#file(name), 'utf8');
  }
}

/** `name=value` lines, and `name<<END` … `END` for values of several lines. */
function parsePairs(text: string): Record<string, string> {
  const pairs: Record<string, string> = {};
  const lines = text.split('\n');
  while (lines.length > 0) {
    const line = lines.shift() ?? '';
    if (line === '') continue;
    const heredoc = /^([^=]+?)<<(.+)$/.exec(line);
    if (heredoc !== null) {
      const [, name = '', delimiter = ''] = heredoc;
      const end = lines.indexOf(delimiter);
      if (end === -1) throw new Error(`the runner finds no end of ${name}`);
      pairs[name] = lines
        .splice(0, end + 1)
        .slice(0, -1)
        .join('\n');
    } else {
      const equals = line.indexOf('=');
      if (equals === -1) throw new Error(`the runner cannot read ${JSON.stringify(line)}`);
      pairs[line.slice(0, equals)] = line.slice(equals + 1);
    }
  }
  return pairs;
}
