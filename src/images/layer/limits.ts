import { VmRunnerError } from '../../core/errors.js';
import { printable } from '../../core/printable.js';

/** Unit of EROFS, of file data in a layer, and of the page cache of whoever reads it. */
export const BLOCK_BYTES = 4096;

/** What a layer may ask of this host. Real images come near none of it. */
export const LAYER_LIMITS = {
  entries: 2_000_000,
  pathBytes: 4096,
  nameBytes: 255,
  depth: 256,
  fileBytes: 64 * 2 ** 30,
  /** Of the tar. */
  rawBytes: 256 * 2 ** 30,
  /** Of all extended attributes of one file. */
  xattrBytes: 64 * 2 ** 10,
  /** Of what stands before one entry: long names, PAX records. */
  extraBytes: 2 ** 20,
  /** Raw to compressed; gzip itself cannot do much more. Counts from {@link LAYER_LIMITS.freeBytes} on. */
  ratio: 1000,
  freeBytes: 256 * 2 ** 20,
} as const;

export type LayerLimits = { readonly [key in keyof typeof LAYER_LIMITS]: number };

/**
 * What is wrong with a layer: its maker's fault, so the user's, who named the image.
 * @param path in the layer, as bytes
 */
export function layerError(reason: string, path?: string): VmRunnerError {
  const hint = 'The image was made wrong or is no image: build it again, or name another one.';
  return new VmRunnerError('image-invalid', reason, path === undefined ? { hint } : { subject: shown(path), hint });
}

/** A path of a layer for people. */
export function shown(path: string): string {
  const text = printable(Buffer.from(path, 'latin1').toString('utf8')).replaceAll(/[\n\t]/g, '?');
  return text.length <= 300 ? text : `${text.slice(0, 300)}…`;
}
