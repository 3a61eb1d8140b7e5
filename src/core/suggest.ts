const SMALL_SLIP = 2;

/**
 * The word that was meant by a misspelt one: the nearest of those there are, when it is no more than a slip away. Case,
 * and `_` for `-`, are slips of no size.
 */
export function suggest(given: string, words: readonly string[]): string | undefined {
  const plain = plainly(given);
  let nearest: { readonly word: string; readonly slip: number } | undefined;
  for (const word of words) {
    const slip = distance(plain, plainly(word));
    if (!isSmall(slip, plain, plainly(word))) continue;
    if (nearest === undefined || slip < nearest.slip) nearest = { word, slip };
  }
  return nearest?.word;
}

/** In a short word another letter is no slip any more; letters that changed places are. */
function isSmall(slip: number, given: string, word: string): boolean {
  if (slip > SMALL_SLIP) return false;
  return word.length > 2 * SMALL_SLIP || sorted(given) === sorted(word);
}

function sorted(word: string): string {
  return word.split('').sort().join('');
}

function plainly(word: string): string {
  return word.toLowerCase().replaceAll('_', '-');
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
