import { VmRunnerError } from '../core/errors.js';
import { digestHex } from './digest.js';
import { JsonReader } from './json-reader.js';

/** What something else names a blob by. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
}

export interface Manifest {
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

export const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';
export const CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json';
export const TAR_TYPE = 'application/vnd.oci.image.layer.v1.tar';
export const TAR_GZIP_TYPE = `${TAR_TYPE}+gzip`;

/** Engines make at most 127. */
const MOST_LAYERS = 1000;

/**
 * The manifest of one image, of OCI's or Docker's kind.
 * @throws image-invalid
 */
export function parseManifest(bytes: Uint8Array): Manifest {
  const document = JsonReader.parse(bytes, 'manifest of the image');
  if (!document.field('layers').isPresent || !document.field('config').isPresent) {
    throw new VmRunnerError('image-invalid', 'manifest is not that of a container image', {
      hint: 'It may be one of the first kind (schema 1), which nothing makes any more, or of something else than an image.',
    });
  }
  return {
    config: readDescriptor(document.field('config')),
    layers: document.field('layers').list(MOST_LAYERS).map(readDescriptor),
  };
}

export function readDescriptor(reader: JsonReader): Descriptor {
  const digest = reader.field('digest').text;
  digestHex(digest);
  return { mediaType: reader.field('mediaType').text, digest, size: reader.field('size').wholeNumber };
}

/** A manifest as OCI has it. Equal arguments make equal bytes. */
export function renderManifest(manifest: Manifest): Buffer {
  const { config, layers } = manifest;
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST_TYPE, config, layers }));
}
