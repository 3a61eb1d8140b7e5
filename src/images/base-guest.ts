import path from 'node:path';

import { VmRunnerError } from '../core/errors.js';
import type { ProcessTable } from '../core/process-identity.js';
import { acquireLock } from '../store/lock.js';
import type { StorePaths } from '../store/paths.js';
import { writeWhole } from '../store/whole-file.js';
import { readAgent, type AgentBinary } from './agent-binary.js';
import { readBootFiles } from './debian/boot-files.js';
import type { DefaultImage } from './debian/default-image.js';
import type { Recipe } from './debian/recipe.js';
import { digestOf, sha256 } from './digest.js';
import { isThere } from './finished.js';
import { GUEST_FILES, readGuestDescription } from './guest-files.js';
import { readDescription } from './image-files.js';
import type { BaseGuest, LocalImage } from './image.js';
import { buildInitramfs } from './initramfs.js';
import { intoPlace } from './into-place.js';
import { LayerFiles } from './layer/read-file.js';
import type { LayerContext, LayerStore } from './layer/store.js';
import { readPackedScratch, scratchFile, unpackScratch, type PackedScratch } from './scratch-disk.js';

export interface BaseGuestOptions {
  readonly store: StorePaths;
  readonly processes: ProcessTable;
  readonly layers: LayerStore;
  readonly defaultImage: DefaultImage;
  readonly recipe: Recipe;
  /** Holds `<architecture>/vm-agent`. */
  readonly agentDirectory: string;
  /** The packed scratch disk. */
  readonly scratch: string;
}

/** Raised when another initramfs is made of the same parts. */
const VERSION = 1;

/** What base guests are made of besides the default image: it comes with vm-runner. */
interface Shipped {
  readonly agent: AgentBinary;
  readonly scratch: PackedScratch;
}

/** Makes the base guest: the default image with one build of the agent, so that a new agent builds no new image. */
export class BaseGuests {
  readonly #options: BaseGuestOptions;

  constructor(options: BaseGuestOptions) {
    this.#options = options;
  }

  /** The one that is here; `undefined` when something would have to be made. */
  async find(): Promise<BaseGuest | undefined> {
    const root = await this.#options.defaultImage.find();
    return root === undefined ? undefined : this.#read(root, await this.#shipped());
  }

  async resolve(context: LayerContext): Promise<BaseGuest> {
    const shipped = await this.#shipped();
    const root = await this.#options.defaultImage.resolve(context);
    const present = await this.#read(root, shipped);
    if (present !== undefined) return present;
    const { store, processes } = this.#options;
    const name = `guest-${path.basename(this.#directory(root, shipped))}`;
    const lock = await acquireLock(path.join(store.locks, name), { processes, signal: context.signal });
    try {
      if ((await this.#read(root, shipped)) === undefined) await this.#make(root, shipped);
    } finally {
      await lock.release();
    }
    const made = await this.#read(root, shipped);
    if (made !== undefined) return made;
    throw new VmRunnerError('internal', 'a base guest that was made is not there');
  }

  async #shipped(): Promise<Shipped> {
    const { agentDirectory, recipe, scratch } = this.#options;
    return {
      agent: await readAgent(agentDirectory, recipe.architecture),
      scratch: await readPackedScratch(scratch),
    };
  }

  #directory(root: LocalImage, { agent, scratch }: Shipped): string {
    const parts = [String(VERSION), root.digest, agent.digest, scratch.digest, ...this.#options.recipe.bootModules];
    return path.join(this.#options.store.guests, sha256(parts.join('\n')));
  }

  async #read(root: LocalImage, shipped: Shipped): Promise<BaseGuest | undefined> {
    const directory = this.#directory(root, shipped);
    const scratch = scratchFile(this.#options.store, shipped.scratch);
    const description = await readGuestDescription(directory);
    if (description === undefined || !(await isThere(scratch))) return undefined;
    const at = (name: 'kernel' | 'initramfs'): string => path.join(directory, GUEST_FILES[name]);
    return { digest: description.digest, kernel: at('kernel'), initramfs: at('initramfs'), scratch, root };
  }

  async #make(root: LocalImage, shipped: Shipped): Promise<void> {
    const { store, layers, recipe } = this.#options;
    const scratch = await unpackScratch(this.#options, shipped.scratch);
    const [layer] = (await readDescription(store, root.digest))?.layers ?? [];
    if (layer === undefined) throw new VmRunnerError('internal', 'the default image has no layer');
    const { entries } = await layers.index(layer.diffId);
    const boot = await readBootFiles(new LayerFiles(layers.dataFile(layer.diffId), entries), recipe.bootModules);
    const initramfs = buildInitramfs(shipped.agent.data, boot.modules);
    const parts = [sha256(boot.kernel), sha256(initramfs), path.basename(scratch), root.digest];
    const description = {
      version: VERSION,
      digest: digestOf(parts.join('\n')),
      root: root.digest,
      agent: `sha256:${shipped.agent.digest}`,
      kernelVersion: boot.kernelVersion,
      modules: boot.modules.map(({ name }) => name),
      builtAt: new Date().toISOString(),
    };
    await intoPlace(this.#options, this.#directory(root, shipped), async (temporary) => {
      const write = (name: string, data: string | Uint8Array): Promise<void> =>
        writeWhole(path.join(temporary, name), data, 0o444);
      await write(GUEST_FILES.kernel, boot.kernel);
      await write(GUEST_FILES.initramfs, initramfs);
      await write(GUEST_FILES.description, `${JSON.stringify(description, undefined, 2)}\n`);
    });
  }
}
