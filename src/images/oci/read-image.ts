import { VmRunnerError } from '../../core/errors.js';
import { parseConfig } from '../config.js';
import { JsonReader } from '../json-reader.js';
import type { LayerSource } from '../layer/source.js';
import { parseManifest } from '../manifest.js';
import { chooseManifest } from './choose.js';
import { blobName, invalid, locateOrThrow, readBlob, readDocument, type ImageContent } from './content.js';

/** An image that is not in the store yet. */
export interface FoundImage {
  readonly config: Buffer;
  /** `undefined` for those of older archives, which have none. */
  readonly manifest: Buffer | undefined;
  /** From the bottom. */
  readonly layers: readonly { readonly diffId: string; readonly source: LayerSource }[];
}

/** The image in a layout. @throws image-unavailable, image-invalid */
export async function readLayoutImage(content: ImageContent, tag: string | undefined): Promise<FoundImage> {
  const manifest = await chooseManifest(content, await readDocument(content, 'index.json'), tag);
  const { config: descriptor, layers } = parseManifest(manifest);
  const config = await readBlob(content, descriptor);
  const { diffIds } = parseConfig(config);
  if (diffIds.length !== layers.length) throw invalid(content, 'names other layers in its configuration');
  return {
    config,
    manifest,
    layers: await Promise.all(
      layers.map(async ({ digest }, index) => ({
        diffId: diffIds[index] ?? '',
        source: { ...(await locateOrThrow(content, blobName(digest))), digest },
      })),
    ),
  };
}

/**
 * The image in what `docker save` writes, old or new.
 * https://github.com/moby/docker-image-spec/blob/main/spec.md
 */
export async function readSavedImage(content: ImageContent): Promise<FoundImage> {
  if ((await content.locate('manifest.json')) === undefined) return readLayoutImage(content, undefined);
  const saved = JsonReader.parse(await readDocument(content, 'manifest.json'), 'list of saved images').list();
  const [image] = saved;
  if (image === undefined || saved.length > 1) {
    const names = saved.flatMap((one) => one.field('RepoTags').texts());
    throw new VmRunnerError('image-unavailable', image === undefined ? 'no image' : 'more than one image', {
      subject: content.name,
      hint: `Save one image alone${names.length === 0 ? '' : `; here are ${names.join(', ')}`}.`,
    });
  }
  const config = await readDocument(content, image.field('Config').text);
  const names = image.field('Layers').texts();
  const { diffIds } = parseConfig(config);
  if (diffIds.length !== names.length) throw invalid(content, 'names other layers in its configuration');
  return {
    config,
    manifest: undefined,
    layers: await Promise.all(
      names.map(async (name, index) => ({
        diffId: diffIds[index] ?? '',
        source: await locateOrThrow(content, name),
      })),
    ),
  };
}
