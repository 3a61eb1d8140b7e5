import { VmRunnerError } from '../core/errors.js';
import { INPUT_NAMES } from './input-table.js';

const PREFIX = 'INPUT_';
const SMALL_SLIP = 2;

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
    const meant = INPUT_NAMES.find((name) => isSlip(given, name));
    if (meant === undefined) continue;
    mistakes.push(
      new VmRunnerError('invalid-input', 'no such input', { subject: given, hint: `Did you mean "${meant}"?` }),
    );
  }
  return mistakes;
}

function isSlip(given: string, name: string): boolean {
  if (given.replaceAll('_', '-') === name) return true;
  // In a short word two letters are no slip any more: INPUT_ENV2, INPUT_RUNS are somebody's own.
  return name.length > 2 * SMALL_SLIP && distance(given, name) <= SMALL_SLIP;
}

/** How many letters must be added, taken away or changed to make one word of the other (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, letter] of a.split('').entries()) {
    const next = [i + 1];
    for (const [j, other] of b.split('').entries()) {
      const changed = (row[j] ?? 0) + (letter === other ? 0 : 1);
      next.push(Math.min(changed, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
