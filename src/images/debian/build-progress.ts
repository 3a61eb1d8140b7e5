/** What mmdebstrap does, in our words; its other lines are detail. */
const STEPS: readonly (readonly [RegExp, string])[] = [
  [/^I: running apt-get update/, 'reading the package lists'],
  [/^I: downloading packages/, 'downloading packages'],
  [/^I: extracting archives/, 'unpacking packages'],
  [/^I: installing essential packages/, 'installing the base system'],
  [/^I: installing remaining packages/, 'installing the other packages'],
  [/^I: running --customize-hook/, 'adding the kernel'],
  [/^I: creating tarball/, 'packing the tree'],
];

/** The step that begins with this line of mmdebstrap's output; `undefined` for all other lines. */
export function buildStep(line: string): string | undefined {
  return STEPS.find(([pattern]) => pattern.test(line))?.[1];
}

/** Whether a program's line says that the disk is full: what they have in common is only the system's own sentence. */
export function saysDiskFull(line: string): boolean {
  return /no space left on device|disk quota exceeded|not enough free space|you don't have enough free space/i.test(
    line,
  );
}
