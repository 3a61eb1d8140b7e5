import { readFileSync } from 'node:fs';
import path from 'node:path';

import { parse } from 'yaml';

export interface InputOfAction {
  readonly description?: string;
  readonly required?: boolean;
  readonly default?: string;
}

/** What the runner reads of an action.yml. */
export interface ActionDefinition {
  readonly directory: string;
  readonly inputs: Readonly<Record<string, InputOfAction>>;
  readonly outputs: Readonly<Record<string, { readonly description?: string }>>;
  readonly main: string;
  /** `undefined`: none. */
  readonly post: string | undefined;
}

/** Versions of Node that the runner has (actions/runner, ActionManifestManager.cs). */
const RUNTIMES = ['node20', 'node24'];

export function readActionDefinition(directory: string): ActionDefinition {
  const document = parse(readFileSync(path.join(directory, 'action.yml'), 'utf8')) as {
    readonly inputs?: ActionDefinition['inputs'];
    readonly outputs?: ActionDefinition['outputs'];
    readonly runs: { readonly using: string; readonly main: string; readonly post?: string };
  };
  const { using, main, post } = document.runs;
  if (!RUNTIMES.includes(using)) throw new Error(`the runner knows no runtime ${using}`);
  return {
    directory,
    inputs: document.inputs ?? {},
    outputs: document.outputs ?? {},
    main: path.join(directory, main),
    post: post === undefined ? undefined : path.join(directory, post),
  };
}

/** What a step's `with` becomes in the environment: upper case, spaces to `_`, hyphens kept; defaults filled in. */
export function inputVariables(
  action: ActionDefinition,
  given: Readonly<Record<string, string>>,
): Record<string, string> {
  const variables: Record<string, string> = {};
  const set = (name: string, value: string): void => {
    variables[`INPUT_${name.replaceAll(' ', '_').toUpperCase()}`] = value;
  };
  for (const [name, input] of Object.entries(action.inputs)) set(name, input.default ?? '');
  for (const [name, value] of Object.entries(given)) set(name, value);
  return variables;
}
