import { readFileSync } from 'node:fs';
import path from 'node:path';

import { toVmRunnerError, VmRunnerError } from '../../core/errors.js';
import type { Finding } from '../../core/finding.js';
import { DEFAULT_IMAGE } from '../../core/job.js';
import type { ProcessTable } from '../../core/process-identity.js';
import { formatDuration, formatSize } from '../../core/units.js';
import { tryProgram } from '../../process/run.js';
import { SYSTEM_PATH } from '../../process/system-path.js';
import { acquireLock } from '../../store/lock.js';
import type { StorePaths } from '../../store/paths.js';
import { discardTemporary, makeTemporaryDirectory } from '../../store/temporary.js';
import { readDescription, readLocalImage } from '../image-files.js';
import { EMPTY_CONFIG, type ImageConfig, type LocalImage } from '../image.js';
import { makeLocalImage } from '../made-image.js';
import type { LayerContext, LayerStore } from '../layer/store.js';
import { Refs } from '../refs.js';
import { buildTools, chooseMode, type BuildHost } from './bootstrap.js';
import { buildDebianTar, type TarBuilder } from './build-tar.js';
import { checkHostTools } from './host-tools.js';
import { recipeKey, type Recipe } from './recipe.js';

export interface DefaultImageOptions {
  readonly store: StorePaths;
  readonly processes: ProcessTable;
  readonly layers: LayerStore;
  readonly recipe: Recipe;
  readonly buildTar?: TarBuilder | undefined;
  readonly host?: BuildHost | undefined;
  /** Where host programs are looked up. */
  readonly searchPath?: string | undefined;
}

const CONFIG: ImageConfig = {
  ...EMPTY_CONFIG,
  env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
  command: ['/bin/bash'],
};

/** The image that runs when nobody names one: Debian, built on this host when it is first needed. */
export class DefaultImage {
  readonly #options: DefaultImageOptions;
  readonly #host: BuildHost;
  readonly #refs: Refs;

  constructor(options: DefaultImageOptions) {
    this.#options = options;
    this.#host = options.host ?? thisHost();
    this.#refs = new Refs(options.store);
  }

  /** The image that this recipe made; `undefined` when it was not built yet. */
  async find(): Promise<LocalImage | undefined> {
    const ref = await this.#refs.read(DEFAULT_IMAGE);
    if (ref?.key !== recipeKey(this.#options.recipe)) return undefined;
    return readLocalImage(this.#options.store, ref.digest, DEFAULT_IMAGE);
  }

  /** Builds it, once however many ask at the same time. */
  async resolve(context: LayerContext): Promise<LocalImage> {
    checkHost(this.#host);
    const present = await this.find();
    if (present !== undefined) return present;
    const { store, processes } = this.#options;
    const lock = await acquireLock(path.join(store.locks, 'default-image'), {
      processes,
      signal: context.signal,
      onWait: (holder) => context.log.info(`waiting for process ${holder.pid}, which is building the default image`),
    });
    try {
      return (await this.find()) ?? (await this.#build(context));
    } finally {
      await lock.release();
    }
  }

  async check(): Promise<readonly Finding[]> {
    const subject = 'images';
    checkHost(this.#host);
    const isBuilt = (await this.find()) !== undefined;
    const state: Finding = {
      level: 'ok',
      subject,
      text: isBuilt ? 'the default image is built' : 'the default image is built with the first VM',
    };
    try {
      const searchPath = this.#options.searchPath ?? SYSTEM_PATH;
      await checkHostTools(buildTools(this.#host), searchPath);
      await chooseMode(this.#host, tryProgram, searchPath);
      return [state];
    } catch (error) {
      // A host that cannot build works with the image that it has, until that must be built anew.
      const { message } = toVmRunnerError(error);
      return [state, { level: isBuilt ? 'warning' : 'problem', subject, text: message }];
    }
  }

  async #build(context: LayerContext): Promise<LocalImage> {
    const { store, processes, layers, recipe, buildTar = buildDebianTar, searchPath = SYSTEM_PATH } = this.#options;
    const started = performance.now();
    const temporary = await makeTemporaryDirectory(store, processes);
    try {
      const tar = path.join(temporary, 'root.tar');
      await buildTar(recipe, tar, { ...context, host: this.#host, searchPath });
      context.log.progress('making a layer of the tree');
      const diffId = await layers.import({ file: tar }, context);
      const key = recipeKey(recipe);
      const comment = `Debian ${recipe.suite}: ${recipe.packages.join(' ')}`;
      const image = await makeLocalImage(
        { diffIds: [diffId], config: CONFIG, history: [comment], ref: { reference: DEFAULT_IMAGE, key, comment } },
        { ...this.#options, ...context },
      );
      const size = formatSize((await readDescription(store, image.digest))?.diskBytes ?? 0);
      context.log.info(`built the default image of ${size} in ${formatDuration(performance.now() - started)}`);
      return image;
    } finally {
      await discardTemporary(temporary);
    }
  }
}

function checkHost(host: BuildHost): void {
  if (host.platform === 'linux' && host.architecture === 'x64') return;
  throw new VmRunnerError('host-unsupported', 'the default image is not tested yet on this kind of host', {
    subject: `${host.platform} on ${host.architecture}`,
    hint: 'Use a Linux host with an x86-64 processor.',
  });
}

function thisHost(): BuildHost {
  let osRelease = '';
  try {
    osRelease = readFileSync('/etc/os-release', 'utf8');
  } catch {
    // Not every system has one; without it Debian's keyring is named explicitly.
  }
  return { platform: process.platform, architecture: process.arch, uid: process.getuid?.() ?? -1, osRelease };
}
