import { VmRunnerError } from '../core/errors.js';

/** Node's words for what Debian, Go and so OCI call `amd64` and `arm64`. */
const NAMES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

/** @param architecture in Node's words: `x64`, `arm64` */
export function imageArchitecture(architecture: string = process.arch): string {
  return NAMES[architecture] ?? architecture;
}

/** @throws image-invalid when an image is for another kind of machine than the VMs of this host. */
export function checkPlatform(platform: { readonly os: string; readonly architecture: string }, subject: string): void {
  const { os, architecture } = platform;
  if (os === 'linux' && architecture === imageArchitecture()) return;
  throw new VmRunnerError('image-invalid', `image is for ${os} on ${architecture}`, {
    subject,
    hint: `VMs of this host run linux on ${imageArchitecture()}: name an image for that.`,
  });
}
