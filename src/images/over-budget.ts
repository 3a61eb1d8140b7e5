/** An image as far as a budget is concerned. */
export interface BudgetedImage {
  readonly digest: string;
  readonly layers: readonly { readonly diffId: string; readonly dataBytes: number }[];
  readonly metadataBytes: number;
  /** Milliseconds since 1970. */
  readonly usedAt: number;
  /** Whether it may go: nobody uses it now, and it can be had again. */
  readonly mayGo: boolean;
}

/**
 * Which images must go so that the rest fits into a budget: the least recently used of those that may. Layers count once,
 * however many images have them, so that an image goes in vain when others have its layers; then the next one goes as well.
 */
export function overBudget(images: readonly BudgetedImage[], budgetBytes: number): readonly string[] {
  const users = new Map<string, number>();
  const bytesOf = new Map<string, number>();
  for (const { layers } of images) {
    for (const { diffId, dataBytes } of distinct(layers)) {
      users.set(diffId, (users.get(diffId) ?? 0) + 1);
      bytesOf.set(diffId, dataBytes);
    }
  }
  let bytes = [...bytesOf.values()].reduce((sum, each) => sum + each, 0);
  bytes += images.reduce((sum, { metadataBytes }) => sum + metadataBytes, 0);
  const going: string[] = [];
  for (const image of images.filter(({ mayGo }) => mayGo).sort((a, b) => a.usedAt - b.usedAt)) {
    if (bytes <= budgetBytes) break;
    going.push(image.digest);
    bytes -= image.metadataBytes;
    for (const { diffId, dataBytes } of distinct(image.layers)) {
      const left = (users.get(diffId) ?? 0) - 1;
      users.set(diffId, left);
      if (left === 0) bytes -= dataBytes;
    }
  }
  return going;
}

function distinct(layers: BudgetedImage['layers']): BudgetedImage['layers'] {
  return [...new Map(layers.map((layer) => [layer.diffId, layer])).values()];
}
