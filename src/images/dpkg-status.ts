/** Installed packages with their versions, from the text of /var/lib/dpkg/status. */
export function installedPackages(status: string): Record<string, string> {
  const packages: Record<string, string> = {};
  for (const paragraph of status.split('\n\n')) {
    const field = (name: string): string | undefined => new RegExp(`^${name}: (.*)$`, 'm').exec(paragraph)?.[1];
    const [name, version] = [field('Package'), field('Version')];
    if (name === undefined || version === undefined) continue;
    if (field('Status')?.endsWith(' installed') === true) packages[name] = version;
  }
  return packages;
}
