import { utimes } from 'node:fs/promises';
import path from 'node:path';

import { toVmRunnerError, VmRunnerError } from '../core/errors.js';
import type { Finding } from '../core/finding.js';
import type { Garbage } from '../core/garbage.js';
import { DEFAULT_IMAGE } from '../core/job.js';
import type { ProcessTable } from '../core/process-identity.js';
import type { EventLog } from '../store/events.js';
import { acquireLock } from '../store/lock.js';
import type { StorePaths } from '../store/paths.js';
import type { AssembleOptions } from './assemble.js';
import { BaseGuests } from './base-guest.js';
import { changeConfig } from './config.js';
import type { BuildHost } from './debian/bootstrap.js';
import type { TarBuilder } from './debian/build-tar.js';
import { DefaultImage } from './debian/default-image.js';
import { DEFAULT_RECIPE, type Recipe } from './debian/recipe.js';
import { sha256 } from './digest.js';
import { fileStep } from './file-step.js';
import { imageDirectory, readDescription, readImageFile, readLocalImage } from './image-files.js';
import type { BaseGuest, LocalImage } from './image.js';
import { importImage } from './import-image.js';
import { whileMakingImages } from './in-use.js';
import { listImages } from './inventory.js';
import { LayerStore } from './layer/store.js';
import type {
  ImageContext,
  ImageLibrary,
  NewLayer,
  RemovedImage,
  ResolveContext,
  StoredImage,
  SweepRequest,
} from './library.js';
import { imageOfConfig, nameImage } from './made-image.js';
import { exportImage } from './oci/export.js';
import { pullFrom, type PullFunction } from './pull-function.js';
import { canonicalName, parseReference, type Reference, type RegistryReference } from './reference.js';
import { Refs } from './refs.js';
import { leftDownloads } from './registry/left-downloads.js';
import { registryOptions, type RegistryOptions } from './registry/options.js';
import { verifyImages } from './verify.js';
import { sweepImages, type Swept, type SweepOptions } from './sweep.js';

export interface HostLibraryOptions {
  readonly store: StorePaths;
  readonly processes: ProcessTable;
  /** Default: nobody is told what becomes of images. */
  readonly events?: Pick<EventLog, 'add'> | undefined;
  /** Holds `<architecture>/vm-agent`. */
  readonly agentDirectory: string;
  /** The packed scratch disk. */
  readonly scratch: string;
  /** How registries are reached. Default: without credentials, mirrors and proxy. */
  readonly registries?: RegistryOptions | undefined;
  /** Default: from registries. */
  readonly pull?: PullFunction | undefined;
  /** What the default image is made of. Default: `DEFAULT_RECIPE`. */
  readonly recipe?: Recipe | undefined;
  readonly buildTar?: TarBuilder | undefined;
  readonly host?: BuildHost | undefined;
  /** Where host programs are looked up. */
  readonly searchPath?: string | undefined;
}

/** The images in the store of this host. */
export class HostImageLibrary implements ImageLibrary {
  readonly #options: HostLibraryOptions;
  readonly #layers: LayerStore;
  readonly #refs: Refs;
  readonly #defaultImage: DefaultImage;
  readonly #guests: BaseGuests;

  constructor(options: HostLibraryOptions) {
    const { recipe = DEFAULT_RECIPE, store } = options;
    const layers = new LayerStore(options);
    this.#options = options;
    this.#layers = layers;
    this.#refs = new Refs(store);
    this.#defaultImage = new DefaultImage({ ...options, recipe, layers });
    this.#guests = new BaseGuests({ ...options, recipe, layers, defaultImage: this.#defaultImage });
  }

  async baseGuest(context: ImageContext): Promise<BaseGuest> {
    // Every job asks: no lock when nothing is to be made.
    const guest = (await this.#guests.find()) ?? (await this.#makeGuest(context));
    await this.#markUsed(guest.root);
    return guest;
  }

  #makeGuest(context: ImageContext): Promise<BaseGuest> {
    return whileMakingImages(this.#options, context.signal, async () => {
      const guest = await this.#guests.resolve(context);
      await this.#tell('built', DEFAULT_IMAGE, guest.root.digest, context);
      return guest;
    });
  }

  findBaseGuest(): Promise<BaseGuest | undefined> {
    return this.#guests.find();
  }

  async resolve(reference: string, context: ResolveContext): Promise<LocalImage> {
    const parsed = absolute(parseReference(reference));
    const name = canonicalName(parsed);
    const before = await this.#refs.read(name);
    const image = await this.#resolve(parsed, name, context);
    await this.#markUsed(image);
    // What the name meant before may have lost its last one.
    if (before !== undefined && before.digest !== image.digest) await this.#trySweep(context);
    return { ...image, reference };
  }

  async #resolve(parsed: Reference, name: string, context: ResolveContext): Promise<LocalImage> {
    if (parsed.kind === 'default') return (await this.baseGuest(context)).root;
    if (parsed.kind === 'name') return (await this.#named(name)) ?? (await this.#nothingNamed(name));
    if (parsed.kind === 'registry' && context.pull !== 'always') {
      const present = await this.#named(name);
      if (present !== undefined) return present;
      if (context.pull === 'never') return this.#nothingNamed(name);
    }
    const options = { ...this.#options, ...context, layers: this.#layers };
    return whileMakingImages(this.#options, context.signal, () =>
      this.#alone(name, context, async () => {
        if (parsed.kind !== 'registry') {
          const imported = await importImage(parsed, name, options);
          await this.#tell('imported', name, imported.digest, context);
          return imported;
        }
        // Whoever had the lock may have brought it.
        const present = context.pull === 'always' ? undefined : await this.#named(name);
        return present ?? (await this.#pull(parsed, name, options));
      }),
    );
  }

  async #pull(reference: RegistryReference, name: string, options: AssembleOptions): Promise<LocalImage> {
    const { pull = pullFrom(this.#options.registries ?? registryOptions()) } = this.#options;
    const { digest, pinned } = await pull(reference, { ...options, previous: await this.#refs.read(name) });
    await this.#tell('pulled', name, digest, options);
    return nameImage(digest, { reference: name, pinned }, options);
  }

  async find(reference: string): Promise<LocalImage | undefined> {
    const parsed = absolute(parseReference(reference));
    if (parsed.kind === 'default') return this.#defaultImage.find();
    const image = await this.#named(canonicalName(parsed));
    return image === undefined ? undefined : { ...image, reference };
  }

  async findMade(reference: string, key: string): Promise<LocalImage | undefined> {
    const name = canonicalName(parseReference(reference));
    return (await this.#refs.read(name))?.key === key ? this.#named(name) : undefined;
  }

  name(image: LocalImage, reference: string): Promise<LocalImage> {
    return nameImage(image.digest, { reference: canonicalName(parseReference(reference)) }, this.#options);
  }

  list(): Promise<readonly StoredImage[]> {
    return listImages(this.#options);
  }

  async remove(reference: string): Promise<RemovedImage> {
    const name = canonicalName(absolute(parseReference(reference)));
    const ref = await this.#refs.read(name);
    if (ref === undefined || !(await this.#refs.remove(name))) return this.#nothingNamed(name);
    const { digest } = ref;
    await this.#tell('removed', name, digest);
    const other = (await this.#refs.list()).find((one) => one.digest === digest);
    const swept = await this.#sweep();
    const kept = other === undefined ? swept?.kept.get(digest) : `it is also called ${other.reference}`;
    return {
      ...{ reference: name, digest, freedBytes: bytesOf(swept) },
      kept: swept === undefined ? 'another process makes an image just now' : kept,
    };
  }

  async exportTo(reference: string, target: string, context: ImageContext): Promise<string> {
    const image = await this.find(reference);
    if (image === undefined) return this.#nothingNamed(reference);
    const options = { ...this.#options, ...context, layers: this.#layers };
    return whileMakingImages(this.#options, context.signal, () =>
      exportImage(image.digest, path.resolve(target), tagOf(reference), options),
    );
  }

  addLayer(
    base: LocalImage,
    layer: AsyncIterable<Uint8Array>,
    { reference, key, config, comment }: NewLayer,
    context: ImageContext,
  ): Promise<LocalImage> {
    const options = { ...this.#options, ...context, layers: this.#layers };
    return whileMakingImages(this.#options, context.signal, async () => {
      const below = await readDescription(this.#options.store, base.digest);
      if (below === undefined) return this.#nothingNamed(base.reference);
      const diffId = await this.#layers.import({ stream: layer }, context);
      const diffIds = [...below.layers.map((one) => one.diffId), diffId];
      const bytes = changeConfig(await readImageFile(this.#options.store, base.digest, 'config'), {
        ...{ diffIds, config },
        comment: comment ?? `layer over ${base.reference}`,
      });
      const digest = await imageOfConfig(bytes, undefined, diffIds, options);
      await this.#tell('made', reference, digest, context);
      return nameImage(digest, { reference: canonicalName(parseReference(reference)), key, comment }, options);
    });
  }

  async sweep({ signal, rules, ...how }: SweepRequest): Promise<readonly Garbage[]> {
    const downloads = await leftDownloads(this.#options, { ...how, budgetBytes: rules.downloadsBytes });
    const swept = await this.#sweep({ ...how, signal, rules });
    return [...downloads, ...(swept?.garbage ?? [])];
  }

  check(): Promise<readonly Finding[]> {
    return this.#defaultImage.check();
  }

  async #tell(
    action: 'built' | 'pulled' | 'imported' | 'made' | 'removed',
    name: string,
    digest: string,
    context?: Pick<ImageContext, 'log'>,
  ): Promise<void> {
    await this.#options.events?.add('image', action, name, { digest }, context?.log);
  }

  verify({ log, signal }: ImageContext): Promise<readonly Finding[]> {
    return verifyImages(this.#options, this.#layers, { signal, onProgress: (text) => log.progress(text) });
  }

  async #named(name: string): Promise<LocalImage | undefined> {
    const ref = await this.#refs.read(name);
    return ref === undefined ? undefined : readLocalImage(this.#options.store, ref.digest, name);
  }

  /** Until there is a record that says so, this keeps it from being swept away. */
  async #markUsed({ digest }: LocalImage): Promise<void> {
    const directory = imageDirectory(this.#options.store, digest);
    const now = new Date();
    await fileStep('mark an image as used', directory, utimes(directory, now, now));
  }

  /** Two who want the same do the work once. */
  async #alone<T>(name: string, { log, signal }: ImageContext, work: () => Promise<T>): Promise<T> {
    const { store, processes } = this.#options;
    const lock = await acquireLock(path.join(store.locks, `resolve-${sha256(name)}`), {
      ...{ processes, signal },
      onWait: (holder) => log.info(`waiting for process ${holder.pid}, which is bringing ${name}`),
    });
    try {
      return await work();
    } finally {
      await lock.release();
    }
  }

  async #sweep(how: Partial<Omit<SweepOptions, 'currentRoot' | 'layers'>> = {}): Promise<Swept | undefined> {
    const currentRoot = (await this.#refs.read(DEFAULT_IMAGE))?.digest;
    const { store, processes } = this.#options;
    const rooms = { store, processes, layers: this.#layers };
    return sweepImages({ dryRun: false, now: Date.now(), ...how, ...rooms, currentRoot });
  }

  /** The next one makes up for what this one could not do: no reason for a job to fail. */
  async #trySweep({ log, signal }: ImageContext): Promise<void> {
    try {
      await this.#sweep({ signal });
    } catch (error) {
      log.warn(`removing an image that nobody names failed: ${toVmRunnerError(error).message}`);
    }
  }

  #nothingNamed(name: string): Promise<never> {
    const hint =
      name === DEFAULT_IMAGE
        ? 'It is built at its first use.'
        : 'See what is there with: vm-runner images. From a registry it comes with the pull policy if-not-present or always.';
    return Promise.reject(
      new VmRunnerError('image-unavailable', 'no image of that name on this host', { subject: name, hint }),
    );
  }
}

function bytesOf(swept: Swept | undefined): number {
  return (swept?.garbage ?? []).reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Paths as every process means them, wherever it stands. */
function absolute(reference: Reference): Reference {
  return 'path' in reference ? { ...reference, path: path.resolve(reference.path) } : reference;
}

/** What an exported image is called: what stands behind the last colon or slash. */
function tagOf(reference: string): string {
  const tag = reference.slice(Math.max(reference.lastIndexOf(':'), reference.lastIndexOf('/')) + 1);
  return /^\w[\w.-]{0,127}$/.test(tag) ? tag : 'latest';
}
