import type { Runner } from '../../src/action/runner.js';

/** A runner that keeps what it was told, one line each. */
export function recordedRunner(state: Readonly<Record<string, string>> = {}): Runner & { readonly said: string[] } {
  const said: string[] = [];
  const text = (value: unknown): string => (value instanceof Error ? value.message : String(value));
  return {
    said,
    addPath: (path) => void said.push(`path ${path}`),
    debug: (message) => void said.push(`debug ${message}`),
    endGroup: () => void said.push('endgroup'),
    error: (message, properties) => void said.push(`error [${properties?.title ?? ''}] ${text(message)}`),
    getInput: () => '',
    getState: (name) => state[name] ?? '',
    info: (message) => void said.push(message),
    saveState: (name, value) => void said.push(`state ${name}=${text(value)}`),
    setOutput: (name, value) => void said.push(`output ${name}=${text(value)}`),
    startGroup: (name) => void said.push(`group ${name}`),
    get summary(): never {
      throw new Error('no summary in this test');
    },
    warning: (message) => void said.push(`warning ${text(message)}`),
  };
}
