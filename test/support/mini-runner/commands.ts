/** A workflow command as the runner understood it. */
export interface WorkflowCommand {
  readonly name: string;
  readonly properties: Readonly<Record<string, string>>;
  readonly value: string;
}

/** Commands that the runner obeys; anything else is a plain line. */
const KNOWN = [
  'add-mask',
  'add-matcher',
  'add-path',
  'debug',
  'echo',
  'endgroup',
  'error',
  'group',
  'notice',
  'remove-matcher',
  'save-state',
  'set-env',
  'set-output',
  'stop-commands',
  'warning',
];

/**
 * Reads the output of a step as the runner does, line by line (actions/runner, ActionCommandManager.cs and
 * ActionCommand.cs): `::name key=value::text` at the start of a line, `##[name key=value]text` anywhere in it, and nothing at
 * all between `::stop-commands::TOKEN` and `::TOKEN::`.
 */
export class CommandReader {
  readonly commands: WorkflowCommand[] = [];
  /** Lines that were no commands: what a person sees in the log. */
  readonly lines: string[] = [];
  #rest = '';
  #stopToken: string | undefined;

  /** Whether commands are switched off and nobody has switched them on again. */
  get isStopped(): boolean {
    return this.#stopToken !== undefined;
  }

  write(text: string): void {
    const lines = (this.#rest + text).split(/\r?\n/);
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#line(line);
  }

  end(): void {
    if (this.#rest !== '') this.#line(this.#rest);
    this.#rest = '';
  }

  #line(line: string): void {
    const command = parseCommand(line);
    if (this.#stopToken !== undefined) {
      if (command?.name === this.#stopToken) this.#stopToken = undefined;
      else this.lines.push(line);
    } else if (command?.name === 'stop-commands') {
      this.#stopToken = command.value;
    } else if (command !== undefined && KNOWN.includes(command.name.toLowerCase())) {
      this.commands.push(command);
    } else {
      this.lines.push(line);
    }
  }
}

function parseCommand(line: string): WorkflowCommand | undefined {
  const match = /^\s*::([^\s:]+)(?:\s+(.*?))?::(.*)$/s.exec(line) ?? /##\[([^\s\]]+)(?:\s+(.*?))?\](.*)$/s.exec(line);
  const [, name, properties = '', value = ''] = match ?? [];
  if (name === undefined) return undefined;
  return { name, properties: parseProperties(properties), value: unescape(value) };
}

function parseProperties(text: string): Record<string, string> {
  const pairs = text.split(',').map((pair) => pair.split('='));
  return Object.fromEntries(
    pairs.filter(([key]) => key !== '').map(([key = '', ...value]) => [key.trim(), unescape(value.join('='))]),
  );
}

function unescape(text: string): string {
  const plain: Readonly<Record<string, string>> = { '0D': '\r', '0A': '\n', '3A': ':', '2C': ',', '25': '%' };
  return text.replaceAll(/%(0D|0A|3A|2C|25)/g, (all, code: string) => plain[code] ?? all);
}
