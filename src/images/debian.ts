import { readFileSync } from 'node:fs';
import { readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { toVmRunnerError, VmRunnerError } from '../core/errors.js';
import type { Finding } from '../core/finding.js';
import { DEFAULT_IMAGE } from '../core/job.js';
import type { Log } from '../core/log.js';
import type { ProcessTable } from '../core/process-identity.js';
import { tryProgram } from '../process/run.js';
import { SYSTEM_PATH } from '../process/system-path.js';
import { acquireLock } from '../store/lock.js';
import type { StorePaths } from '../store/paths.js';
import { makeTemporaryDirectory } from '../store/temporary.js';
import { writeWhole } from '../store/whole-file.js';
import { readAgent, type AgentBinary } from './agent-binary.js';
import type { BootImage } from './boot-image.js';
import { buildTools, chooseMode, type BuildHost } from './bootstrap.js';
import { buildDebianRoot, type RootBuilder } from './build-root.js';
import { fileStep } from './file-step.js';
import {
  hasImage,
  INITRAMFS_FILE,
  readRootDescription,
  ROOT_FILES,
  sealFile,
  writeDescription,
  type RootDescription,
} from './image-directory.js';
import { checkHostTools } from './host-tools.js';
import { buildInitramfs } from './initramfs.js';
import type { ImageLibrary } from './library.js';
import { DEFAULT_RECIPE, imageKey, rootKey, type Recipe } from './recipe.js';

export interface DebianLibraryOptions {
  readonly store: StorePaths;
  readonly processes: ProcessTable;
  /** Holds `<architecture>/vm-agent`. */
  readonly agentDirectory: string;
  readonly recipe?: Recipe;
  readonly buildRoot?: RootBuilder;
  readonly host?: BuildHost;
  /** Where host programs are looked up. */
  readonly searchPath?: string;
}

interface LocatedImage {
  readonly agent: AgentBinary;
  readonly root: string;
  readonly key: string;
  readonly rootDirectory: string;
  readonly directory: string;
  readonly boot: BootImage;
}

interface ResolveContext {
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** The one image of this version: Debian, built on this host when it is first needed. */
export class DebianLibrary implements ImageLibrary {
  readonly #options: DebianLibraryOptions;
  readonly #recipe: Recipe;

  constructor(options: DebianLibraryOptions) {
    this.#options = options;
    this.#recipe = options.recipe ?? DEFAULT_RECIPE;
  }

  async resolve(reference: string, context: ResolveContext): Promise<BootImage> {
    if (reference !== DEFAULT_IMAGE) {
      throw new VmRunnerError('image-unavailable', 'no such image', {
        subject: reference,
        hint: `Only \`${DEFAULT_IMAGE}\` exists in this version of vm-runner.`,
      });
    }
    const host = this.#options.host ?? thisHost();
    checkHost(host);
    const image = await this.#locate(reference);
    if (!(await isComplete(image))) {
      await this.#locked(image.root, context, async () => {
        const description = await this.#ensureRoot(image.rootDirectory, host, context);
        if (!(await hasImage(image.directory))) await this.#makeImage({ ...image, description });
        const ref = { version: 1, reference, digest: image.boot.digest, image: image.key, root: image.root };
        await writeWhole(path.join(this.#options.store.refs, reference), `${JSON.stringify(ref, undefined, 2)}\n`);
      });
    }
    return image.boot;
  }

  async find(reference: string): Promise<BootImage | undefined> {
    if (reference !== DEFAULT_IMAGE) return undefined;
    const image = await this.#locate(reference);
    return (await isComplete(image)) ? image.boot : undefined;
  }

  async check(): Promise<readonly Finding[]> {
    const subject = 'images';
    const host = this.#options.host ?? thisHost();
    checkHost(host);
    const isBuilt = (await this.find(DEFAULT_IMAGE)) !== undefined;
    const state: Finding = {
      level: 'ok',
      subject,
      text: isBuilt ? 'the default image is built' : 'the default image is built with the first VM',
    };
    try {
      const searchPath = this.#options.searchPath ?? SYSTEM_PATH;
      await checkHostTools(buildTools(host), searchPath);
      await chooseMode(host, tryProgram, searchPath);
      return [state];
    } catch (error) {
      // A host that cannot build works with the image that it has, until that must be built anew.
      const { message } = toVmRunnerError(error);
      return [state, { level: isBuilt ? 'warning' : 'problem', subject, text: message }];
    }
  }

  /** Where the image is, or will be. */
  async #locate(reference: string): Promise<LocatedImage> {
    const agent = await readAgent(this.#options.agentDirectory, this.#recipe.architecture);
    const root = rootKey(this.#recipe);
    const key = imageKey(root, agent.digest);
    const rootDirectory = path.join(this.#options.store.images, root);
    const directory = path.join(this.#options.store.images, key);
    const boot = {
      reference,
      digest: `sha256:${key}`,
      kernel: path.join(rootDirectory, ROOT_FILES.kernel),
      initramfs: path.join(directory, INITRAMFS_FILE),
      rootDisk: path.join(rootDirectory, ROOT_FILES.rootDisk),
    };
    return { agent, root, key, rootDirectory, directory, boot };
  }

  async #locked(root: string, { log, signal }: ResolveContext, work: () => Promise<void>): Promise<void> {
    const lock = await acquireLock(path.join(this.#options.store.locks, `image-${root}`), {
      processes: this.#options.processes,
      signal,
      onWait: (holder) => log.info(`waiting for process ${holder.pid}, which is building the default image`),
    });
    try {
      await work();
    } finally {
      await lock.release();
    }
  }

  async #ensureRoot(directory: string, host: BuildHost, context: ResolveContext): Promise<RootDescription> {
    const present = await readRootDescription(directory);
    if (present !== undefined) return present;
    const build = this.#options.buildRoot ?? buildDebianRoot;
    const searchPath = this.#options.searchPath ?? SYSTEM_PATH;
    return this.#intoPlace(directory, async (temporary) => {
      const description = await build(this.#recipe, temporary, { ...context, host, searchPath });
      const modules = description.modules.map((name) => path.join(ROOT_FILES.modules, name));
      for (const name of [ROOT_FILES.kernel, ROOT_FILES.rootDisk, ...modules])
        await sealFile(path.join(temporary, name));
      await writeDescription(temporary, description);
      return description;
    });
  }

  async #makeImage(from: {
    readonly directory: string;
    readonly rootDirectory: string;
    readonly root: string;
    readonly agent: AgentBinary;
    readonly description: RootDescription;
  }): Promise<void> {
    const modules = await Promise.all(
      from.description.modules.map(async (name) => {
        const file = path.join(from.rootDirectory, ROOT_FILES.modules, name);
        return { name, data: await fileStep('read a module', file, readFile(file)) };
      }),
    );
    await this.#intoPlace(from.directory, async (temporary) => {
      const file = path.join(temporary, INITRAMFS_FILE);
      await fileStep('write the initramfs', file, writeFile(file, buildInitramfs(from.agent.data, modules)));
      await sealFile(file);
      await writeDescription(temporary, {
        version: 1,
        kind: 'image',
        root: from.root,
        agentDigest: from.agent.digest,
        initramfsBytes: (await stat(file)).size,
        builtAt: new Date().toISOString(),
      });
    });
  }

  /** Lets `make` fill a temporary directory, and gives it its name only when that worked. */
  async #intoPlace<T>(directory: string, make: (temporary: string) => Promise<T>): Promise<T> {
    const temporary = await makeTemporaryDirectory(this.#options.store, this.#options.processes);
    try {
      const result = await make(temporary);
      await fileStep('replace a directory', directory, rm(directory, { recursive: true, force: true }));
      await fileStep('move an image into its place', directory, rename(temporary, directory));
      return result;
    } finally {
      await rm(temporary, { recursive: true, force: true });
    }
  }
}

async function isComplete({ directory, rootDirectory }: LocatedImage): Promise<boolean> {
  return (await hasImage(directory)) && (await readRootDescription(rootDirectory)) !== undefined;
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
