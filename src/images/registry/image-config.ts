import { VmRunnerError } from '../../core/errors.js';
import { isDigest } from '../digest.js';
import { jsonObject } from './body.js';
import type { Platform } from './manifest.js';

/** Of an image's configuration what a download needs to know. */
export interface ConfigFacts {
  /** Digests of the layers' tar files, in order. */
  readonly diffIds: readonly string[];
  /** `undefined` when it does not say. */
  readonly platform: Platform | undefined;
}

/** @throws image-invalid */
export function parseImageConfig(bytes: Uint8Array, subject: string): ConfigFacts {
  const invalid = (reason: string): VmRunnerError => new VmRunnerError('image-invalid', reason, { subject });
  const value = jsonObject(bytes);
  if (value === undefined) throw invalid('configuration is no JSON object');
  const { diff_ids: diffIds } = (value['rootfs'] ?? {}) as { diff_ids?: unknown };
  if (!Array.isArray(diffIds)) throw invalid('configuration names no layers');
  const { os, architecture, variant } = value;
  return {
    diffIds: diffIds.map((diffId: unknown) => {
      if (isDigest(diffId)) return diffId;
      throw invalid('configuration names a layer without a sha256 digest');
    }),
    platform:
      typeof os === 'string' && typeof architecture === 'string' && architecture !== ''
        ? { os, architecture, variant: typeof variant === 'string' && variant !== '' ? variant : undefined }
        : undefined,
  };
}
