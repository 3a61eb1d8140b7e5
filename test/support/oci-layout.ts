import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';

export interface LayoutImage {
  readonly tag: string;
  /** Tars from the bottom. */
  readonly layers: readonly Buffer[];
  readonly config?: Readonly<Record<string, unknown>>;
  readonly architecture?: string;
  /** Default: gzip. */
  readonly compress?: (tar: Buffer) => Buffer;
}

export function digest(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** Writes images as OCI lays them out. */
export async function writeLayout(directory: string, images: readonly LayoutImage[]): Promise<void> {
  await mkdir(path.join(directory, 'blobs/sha256'), { recursive: true });
  const blob = async (bytes: Buffer): Promise<{ digest: string; size: number }> => {
    await writeFile(path.join(directory, 'blobs/sha256', digest(bytes).slice(7)), bytes);
    return { digest: digest(bytes), size: bytes.length };
  };
  const manifests = [];
  for (const { tag, layers, config = {}, architecture = 'amd64', compress = gzipSync } of images) {
    const rootfs = { type: 'layers', diff_ids: layers.map(digest) };
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    const manifest = {
      ...{ schemaVersion: 2, mediaType },
      config: {
        mediaType: 'application/vnd.oci.image.config.v1+json',
        ...(await blob(Buffer.from(JSON.stringify({ architecture, os: 'linux', config, rootfs })))),
      },
      layers: await Promise.all(
        layers.map(async (layer) => ({
          mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
          ...(await blob(compress(layer))),
        })),
      ),
    };
    manifests.push({
      mediaType,
      ...(await blob(Buffer.from(JSON.stringify(manifest)))),
      annotations: { 'org.opencontainers.image.ref.name': tag },
    });
  }
  await writeFile(path.join(directory, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
  await writeFile(path.join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
}
