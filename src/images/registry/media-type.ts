/** What a document of a registry is, by its media type. */
export type DocumentKind = 'index' | 'image' | 'schema-1' | 'other';

const INDEXES: readonly string[] = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
];
const IMAGES: readonly string[] = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
];
const CONFIGS: readonly string[] = [
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
];
const LAYER =
  /^application\/vnd\.(?:oci\.image\.layer(?:\.nondistributable)?\.v1\.tar|docker\.image\.rootfs(?:\.foreign)?\.diff\.tar)(?:[.+](?:gzip|zstd))?$/;

/** `Accept` for a manifest: without it a registry may give us a form of years ago. */
export const ACCEPT_MANIFEST = [...IMAGES, ...INDEXES].join(', ');

export function documentKind(mediaType: string): DocumentKind {
  if (INDEXES.includes(mediaType)) return 'index';
  if (IMAGES.includes(mediaType)) return 'image';
  return /^application\/vnd\.docker\.distribution\.manifest\.v1\+/.test(mediaType) ? 'schema-1' : 'other';
}

export function isImageConfig(mediaType: string): boolean {
  return CONFIGS.includes(mediaType);
}

/** Whether it is a layer of files; its compression is seen by its first bytes, not by its name. */
export function isLayer(mediaType: string): boolean {
  return LAYER.test(mediaType);
}

export function isEncrypted(mediaType: string): boolean {
  return mediaType.endsWith('+encrypted');
}

/** Content that its owner wants fetched from them and not from registries. */
export function isForeign(mediaType: string): boolean {
  return mediaType.includes('.foreign.') || mediaType.includes('.nondistributable.');
}
