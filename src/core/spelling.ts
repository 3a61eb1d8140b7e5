const SMALL_SLIP = 2;

/** The known name that somebody most likely meant; `undefined` when none is near. */
export function meantName(given: string, known: readonly string[]): string | undefined {
  const slips = known.filter((name) => isSlip(given, name));
  return slips.sort((a, b) => distance(given, a) - distance(given, b))[0];
}

function isSlip(given: string, name: string): boolean {
  if (given.toLowerCase().replaceAll('_', '-') === name) return true;
  // In a short word two letters are no slip any more.
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
