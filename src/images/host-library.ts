import { VmRunnerError } from '../core/errors.js';
import type { Finding } from '../core/finding.js';
import type { ProcessTable } from '../core/process-identity.js';
import type { StorePaths } from '../store/paths.js';
import { BaseGuests } from './base-guest.js';
import type { BuildHost } from './debian/bootstrap.js';
import type { TarBuilder } from './debian/build-tar.js';
import { DefaultImage } from './debian/default-image.js';
import { DEFAULT_RECIPE, type Recipe } from './debian/recipe.js';
import type { BaseGuest, LocalImage } from './image.js';
import { LayerStore } from './layer/store.js';
import type { ImageContext, ImageLibrary, RemovedImage, ResolveContext, StoredImage } from './library.js';
import { parseReference } from './reference.js';

export interface HostLibraryOptions {
  readonly store: StorePaths;
  readonly processes: ProcessTable;
  /** Holds `<architecture>/vm-agent`. */
  readonly agentDirectory: string;
  /** The packed scratch disk. */
  readonly scratch: string;
  /** What the default image is made of. Default: `DEFAULT_RECIPE`. */
  readonly recipe?: Recipe | undefined;
  readonly buildTar?: TarBuilder | undefined;
  readonly host?: BuildHost | undefined;
  /** Where host programs are looked up. */
  readonly searchPath?: string | undefined;
}

/** The images in the store of this host. */
export class HostImageLibrary implements ImageLibrary {
  readonly #defaultImage: DefaultImage;
  readonly #guests: BaseGuests;

  constructor(options: HostLibraryOptions) {
    const { recipe = DEFAULT_RECIPE } = options;
    const layers = new LayerStore(options);
    this.#defaultImage = new DefaultImage({ ...options, recipe, layers });
    this.#guests = new BaseGuests({ ...options, recipe, layers, defaultImage: this.#defaultImage });
  }

  baseGuest(context: ImageContext): Promise<BaseGuest> {
    return this.#guests.resolve(context);
  }

  findBaseGuest(): Promise<BaseGuest | undefined> {
    return this.#guests.find();
  }

  async resolve(reference: string, context: ResolveContext): Promise<LocalImage> {
    const parsed = parseReference(reference);
    if (parsed.kind === 'default') return (await this.baseGuest(context)).root;
    throw new VmRunnerError('image-unavailable', 'no such image', { subject: reference });
  }

  async find(reference: string): Promise<LocalImage | undefined> {
    const parsed = parseReference(reference);
    return parsed.kind === 'default' ? this.#defaultImage.find() : undefined;
  }

  list(): Promise<readonly StoredImage[]> {
    return Promise.reject(notYet());
  }

  remove(): Promise<RemovedImage> {
    return Promise.reject(notYet());
  }

  exportTo(): Promise<string> {
    return Promise.reject(notYet());
  }

  addLayer(): Promise<LocalImage> {
    return Promise.reject(notYet());
  }

  check(): Promise<readonly Finding[]> {
    return this.#defaultImage.check();
  }
}

function notYet(): VmRunnerError {
  return new VmRunnerError('internal', 'not built yet');
}
