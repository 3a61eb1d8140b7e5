import { DEFAULT_IMAGE, type RootRequest, type SharedDirectory } from '../core/job.js';
import type { GuestAgent } from '../guest/agent.js';
import type { ImageConfig, LocalImage } from '../images/image.js';

/** The slot of the job's image, and of the default one. */
const IMAGE_SLOT = 1;
const BASE_SLOT = 0;
/** Home of root, whom jobs run as in the default image. */
const DEFAULT_DIRECTORY = '/root';
/** Engines lay overlays there, which an overlay cannot hold. */
const ENGINE_DIRECTORIES = ['/var/lib/containers', '/var/lib/docker'];
/** No real image has so many; each is a mount. */
const MOST_VOLUMES = 64;

/** Makes the root of the job's image, or takes the base root for it when the job runs in the default image. */
export async function enterImage(agent: GuestAgent, image: LocalImage, request: RootRequest): Promise<void> {
  const config = effectiveConfig(image, request);
  await agent.enter({
    slot: isDefault(image) ? BASE_SLOT : IMAGE_SLOT,
    defaults: { ...config, workingDirectory: isDefault(image) ? config.workingDirectory : workingDirectory(image) },
    scratchDirectories: scratchDirectories(config),
    shared: [...(request.shared ?? []), ...workspaceOf(config, request)],
    ...(request.init === undefined ? {} : { init: request.init }),
    ...(request.pids === undefined ? {} : { pids: request.pids }),
    keepsChanges: request.keepsChanges ?? false,
  });
}

/** What of an image decides about its programs, for the record. */
export function programDefaults(
  image: LocalImage,
  request: RootRequest,
): { readonly workingDirectory: string; readonly user: string | undefined } {
  const user = request.user ?? image.config.user;
  return { workingDirectory: workingDirectory(image), user: user === '' ? undefined : user };
}

function workingDirectory(image: LocalImage): string {
  const { workingDirectory: own } = image.config;
  if (own.startsWith('/')) return own;
  return isDefault(image) ? DEFAULT_DIRECTORY : `/${own}`;
}

function isDefault({ reference }: LocalImage): boolean {
  return reference === DEFAULT_IMAGE;
}

/** As container engines have it: whoever sets an entrypoint does without the image's command. */
function effectiveConfig({ config }: LocalImage, { entrypoint, user }: RootRequest): ImageConfig {
  return {
    ...config,
    ...(user === undefined ? {} : { user }),
    ...(entrypoint === undefined ? {} : { entrypoint: withoutEmpty(entrypoint), command: [] }),
  };
}

/** `[""]` is how people write "none". */
function withoutEmpty(entrypoint: readonly string[]): readonly string[] {
  return entrypoint.length === 1 && entrypoint[0] === '' ? [] : entrypoint;
}

function workspaceOf({ user }: ImageConfig, { workspace }: RootRequest): SharedDirectory[] {
  return workspace === undefined ? [] : [{ path: workspace, owner: user }];
}

function scratchDirectories({ volumes }: ImageConfig): string[] {
  const usable = volumes.filter((path) => path.startsWith('/') && !path.split('/').includes('..'));
  return [...new Set([...ENGINE_DIRECTORIES, ...usable.slice(0, MOST_VOLUMES)])].sort();
}
