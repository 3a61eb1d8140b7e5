import { abortReason } from '../../core/deadline.js';

/**
 * Runs all tasks at once. When one fails the others are told to stop, and what it failed with is thrown after all have ended:
 * nothing goes on behind the caller's back.
 */
export async function together(
  tasks: readonly ((signal: AbortSignal) => Promise<void>)[],
  parent: AbortSignal,
): Promise<void> {
  const group = new AbortController();
  const signal = AbortSignal.any([parent, group.signal]);
  let first: { readonly error: unknown } | undefined;
  await Promise.all(
    tasks.map((task) =>
      task(signal).catch((error: unknown) => {
        first ??= { error };
        group.abort(error);
      }),
    ),
  );
  if (parent.aborted) throw abortReason(parent);
  if (first !== undefined) throw first.error;
}
