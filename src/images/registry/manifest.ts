import { VmRunnerError } from '../../core/errors.js';
import { printable } from '../../core/printable.js';
import { isDigest } from '../digest.js';
import { jsonObject } from './body.js';
import { documentKind, isEncrypted, isImageConfig, isLayer } from './media-type.js';

/** Points to content by its digest. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
  /** Where else it can be had. */
  readonly urls: readonly string[];
}

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant: string | undefined;
}

export interface IndexEntry extends Descriptor {
  readonly platform: Platform | undefined;
}

export type Manifest =
  | { readonly kind: 'index'; readonly entries: readonly IndexEntry[] }
  | { readonly kind: 'image'; readonly config: Descriptor; readonly layers: readonly Descriptor[] };

const MOST_LAYERS = 1024;
const MOST_ENTRIES = 1024;
const MOST_URLS = 16;

/**
 * Reads a manifest or an index of OCI's or Docker's kind.
 * @param contentType what the registry says it is; the document's own word comes first
 * @param subject the image, for sentences
 * @throws image-invalid that says what it is instead.
 */
export function parseManifest(bytes: Uint8Array, contentType: string, subject: string): Manifest {
  const value = jsonObject(bytes);
  if (value === undefined) throw invalid('manifest is no JSON object', subject);
  if (value['schemaVersion'] === 1) throw schemaOne(subject);
  // Two readers must not see two images in one document (CVE-2021-41190).
  if (value['manifests'] !== undefined && value['layers'] !== undefined) {
    throw invalid('manifest says to be an index and an image at once', subject);
  }
  switch (kindOf(value, contentType, subject)) {
    case 'index':
      return {
        kind: 'index',
        entries: list(value['manifests'], MOST_ENTRIES, 'manifests', subject).map(entry(subject)),
      };
    case 'image': {
      const config = descriptor(value['config'], subject);
      const artifact = value['artifactType'];
      if (!isImageConfig(config.mediaType)) {
        throw invalid(
          `not a container image but ${shown(typeof artifact === 'string' ? artifact : config.mediaType)}`,
          subject,
        );
      }
      const layers = list(value['layers'], MOST_LAYERS, 'layers', subject).map((layer) => descriptor(layer, subject));
      for (const layer of layers) checkLayer(layer, subject);
      return { kind: 'image', config, layers };
    }
  }
}

function kindOf(value: Readonly<Record<string, unknown>>, contentType: string, subject: string): 'index' | 'image' {
  const named = typeof value['mediaType'] === 'string' ? value['mediaType'] : (contentType.split(';')[0] ?? '').trim();
  const kind = documentKind(named);
  if (kind === 'index' || kind === 'image') return kind;
  if (kind === 'schema-1') throw schemaOne(subject);
  // Some registries call everything JSON.
  if (typeof value['mediaType'] !== 'string' && /^(application\/(json|octet-stream)|text\/plain)?$/.test(named)) {
    if (Array.isArray(value['manifests'])) return 'index';
    if (Array.isArray(value['layers'])) return 'image';
  }
  throw invalid(`not a container image but ${shown(named)}`, subject);
}

function checkLayer({ mediaType }: Descriptor, subject: string): void {
  if (isEncrypted(mediaType)) throw invalid('image is encrypted', subject, 'Encrypted images are not supported.');
  if (!isLayer(mediaType)) throw invalid(`image has a layer of an unknown kind, ${shown(mediaType)}`, subject);
}

function entry(subject: string): (value: unknown) => IndexEntry {
  return (value) => {
    const { platform } = (value ?? {}) as { platform?: unknown };
    return { ...descriptor(value, subject), platform: platformOf(platform) };
  };
}

function platformOf(value: unknown): Platform | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { os, architecture, variant } = value as Record<string, unknown>;
  if (typeof os !== 'string' || typeof architecture !== 'string') return undefined;
  return { os, architecture, variant: typeof variant === 'string' && variant !== '' ? variant : undefined };
}

function descriptor(value: unknown, subject: string): Descriptor {
  const { mediaType, digest, size, urls } = (value ?? {}) as Record<string, unknown>;
  if (typeof mediaType !== 'string') throw invalid('manifest points to something without a media type', subject);
  if (!isDigest(digest)) throw invalid('manifest points to something without a sha256 digest', subject);
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw invalid('manifest points to something without a size', subject);
  }
  const others: readonly unknown[] = Array.isArray(urls) ? urls.slice(0, MOST_URLS) : [];
  return { mediaType, digest, size, urls: others.filter((url): url is string => typeof url === 'string') };
}

function list(value: unknown, most: number, name: string, subject: string): readonly unknown[] {
  if (!Array.isArray(value)) throw invalid(`manifest has no list of ${name}`, subject);
  if (value.length > most) throw invalid(`manifest has more than ${most} ${name}`, subject);
  return value;
}

function shown(mediaType: string): string {
  return mediaType === '' ? 'something without a type' : printable(mediaType).slice(0, 120);
}

function schemaOne(subject: string): VmRunnerError {
  return invalid('image is of the old kind schema 1', subject, 'Push it again with a Docker of this decade.');
}

function invalid(reason: string, subject: string, hint?: string): VmRunnerError {
  return new VmRunnerError('image-invalid', reason, { subject, ...(hint === undefined ? {} : { hint }) });
}
