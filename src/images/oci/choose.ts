import { VmRunnerError } from '../../core/errors.js';
import { imageArchitecture } from '../architecture.js';
import { JsonReader } from '../json-reader.js';
import { readDescriptor, type Descriptor } from '../manifest.js';
import { readBlob, type ImageContent } from './content.js';

interface IndexEntry extends Descriptor {
  /** What the image is called in the index; empty when it has no name. */
  readonly name: string;
  /** `linux/amd64`; empty when the index does not say. */
  readonly platform: string;
}

const NAME = 'org.opencontainers.image.ref.name';
const MOST_NESTED = 4;

/**
 * The manifest in a layout's index that runs on this host, also one in an index within.
 * @param tag which of several images; may be left out when there is but one
 */
export async function chooseManifest(content: ImageContent, index: Buffer, tag: string | undefined): Promise<Buffer> {
  const all = readIndex(index);
  const tagged = tag === undefined ? all : all.filter(({ name }) => name === tag);
  const names = [...new Set(all.map(({ name }) => name))];
  if (tagged.length === 0 || (tag === undefined && names.length > 1)) {
    throw new VmRunnerError('image-unavailable', tag === undefined ? 'more than one image' : `no image named ${tag}`, {
      subject: content.name,
      hint: `Name one of these behind a colon: ${names.filter((name) => name !== '').join(', ') || 'none has a name'}.`,
    });
  }
  return descend(content, tagged, 0);
}

async function descend(content: ImageContent, entries: readonly IndexEntry[], depth: number): Promise<Buffer> {
  const wanted = `linux/${imageArchitecture()}`;
  // Attestations say `unknown/unknown`. The first that fits is the one that every engine takes.
  const entry = entries.find(({ platform }) => platform === wanted) ?? entries.find(({ platform }) => platform === '');
  if (entry === undefined || depth > MOST_NESTED) {
    const platforms = [...new Set(entries.map(({ platform }) => platform))].filter(
      (platform) => !/unknown/.test(platform),
    );
    throw new VmRunnerError('image-unavailable', `no image for ${wanted}`, {
      subject: content.name,
      hint: platforms.length === 0 ? 'Its index names no platforms.' : `It has: ${platforms.join(', ')}.`,
    });
  }
  const bytes = await readBlob(content, entry);
  const isIndex = JsonReader.parse(bytes, 'manifest').field('manifests').isPresent;
  return isIndex ? descend(content, readIndex(bytes), depth + 1) : bytes;
}

function readIndex(bytes: Buffer): IndexEntry[] {
  return JsonReader.parse(bytes, 'index of the images')
    .field('manifests')
    .list()
    .map((entry) => {
      const platform = entry.field('platform');
      const [os, architecture] = [platform.field('os').text, platform.field('architecture').text];
      return {
        ...readDescriptor(entry),
        name: entry.field('annotations').field(NAME).text,
        platform: os === '' && architecture === '' ? '' : `${os}/${architecture}`,
      };
    });
}
