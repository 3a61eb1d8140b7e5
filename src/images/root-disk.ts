import type { Recipe } from './recipe.js';

/** mke2fs from this version on can be told that a new file reads as zeros. */
const KNOWS_ZEROED_STORAGE: readonly [number, number] = [1, 47];

/**
 * The command line that makes an ext4 disk of a tree.
 *
 * Inode tables count as zeroed from the start: otherwise the guest's kernel zeroes a quarter of a gigabyte of them in the
 * background, in every VM, into every overlay. Older versions of mke2fs have to write them, which costs that space once.
 *
 * @param version what `mke2fs -V` prints
 */
export function makeDiskArguments(recipe: Recipe, version: string, tree: string, output: string): string[] {
  const { disk } = recipe;
  const match = /mke2fs (\d+)\.(\d+)/.exec(version);
  const [major, minor] = [Number(match?.[1] ?? 0), Number(match?.[2] ?? 0)];
  const [newMajor, newMinor] = KNOWS_ZEROED_STORAGE;
  const isNew = major > newMajor || (major === newMajor && minor >= newMinor);
  return [
    'mke2fs',
    '-q',
    ...['-t', 'ext4'],
    ...['-d', tree],
    ...['-L', 'vm-runner'],
    // No blocks kept for root: everything in the guest is root's.
    ...['-m', '0'],
    ...['-i', String(disk.bytesPerInode)],
    ...['-J', `size=${disk.journalMiB}`],
    ...['-E', isNew ? 'lazy_itable_init=0,assume_storage_prezeroed=1' : 'lazy_itable_init=0,lazy_journal_init=1'],
    output,
    `${disk.sizeMiB}M`,
  ];
}

/** Command lines for steps that must agree about owners without being root: fakeroot keeps them in a file between the two. */
export function asFakeRoot(
  state: { readonly load?: string; readonly save?: string },
  argv: readonly string[],
): string[] {
  const load = state.load === undefined ? [] : ['-i', state.load];
  const save = state.save === undefined ? [] : ['-s', state.save];
  return ['fakeroot', ...load, ...save, '--', ...argv];
}
