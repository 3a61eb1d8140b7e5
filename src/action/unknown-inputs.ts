import { VmRunnerError } from '../core/errors.js';
import { suggest } from '../core/suggest.js';
import { INPUT_NAMES } from './input-table.js';

const PREFIX = 'INPUT_';

/**
 * Inputs that the action does not have and that look like one it has: `artefacts`, `boot_timeout`.
 *
 * Others are passed over: the runner itself warns about unknown inputs, and workflows often hand values to their scripts in
 * variables of their own that start with INPUT_, which look the same from here.
 * @param variables names of all environment variables
 */
export function misspeltInputs(variables: readonly string[]): VmRunnerError[] {
  const mistakes: VmRunnerError[] = [];
  for (const variable of variables) {
    if (!variable.startsWith(PREFIX)) continue;
    const given = variable.slice(PREFIX.length).toLowerCase();
    if (INPUT_NAMES.some((name) => name === given)) continue;
    const meant = suggest(given, INPUT_NAMES);
    if (meant === undefined) continue;
    mistakes.push(
      new VmRunnerError('invalid-input', 'no such input', { subject: given, hint: `Did you mean "${meant}"?` }),
    );
  }
  return mistakes;
}
