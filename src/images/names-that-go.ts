import { overBudget, type BudgetedImage } from './over-budget.js';
import { parseReference } from './reference.js';
import type { Ref } from './refs.js';

/** What an operator says about how long images stay. */
export interface ImageRules {
  /** Of all images together. Default: no limit. */
  readonly budgetBytes?: number | undefined;
  /** Without a use. Default: for ever. */
  readonly unusedMs?: number | undefined;
}

type Aged = Omit<BudgetedImage, 'mayGo'>;

/**
 * The names that are taken from images which nobody used for long, or which are over the budget. Only those of registries: what
 * was committed, imported or prepared here may be nowhere else.
 */
export function namesThatGo(
  images: readonly Aged[],
  refs: readonly Ref[],
  kept: ReadonlyMap<string, string>,
  { budgetBytes, unusedMs }: ImageRules,
  now: number,
): readonly Ref[] {
  const stays = (digest: string): boolean =>
    kept.has(digest) || refs.some((ref) => ref.digest === digest && !canBeHadAgain(ref));
  const idle = ({ digest, usedAt }: Aged): boolean =>
    unusedMs !== undefined && now - usedAt > unusedMs && !stays(digest);
  const unused = new Set(images.filter(idle).map(({ digest }) => digest));
  const rest = images
    .filter(({ digest }) => !unused.has(digest))
    .map((image) => ({ ...image, mayGo: !stays(image.digest) }));
  const going = new Set([...unused, ...(budgetBytes === undefined ? [] : overBudget(rest, budgetBytes))]);
  return refs.filter(({ digest }) => going.has(digest));
}

function canBeHadAgain({ reference }: Ref): boolean {
  return parseReference(reference).kind === 'registry';
}
