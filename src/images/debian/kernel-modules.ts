import { VmRunnerError } from '../../core/errors.js';

/**
 * The module files to load, in an order in which each finds what it depends on.
 *
 * @param wanted names of modules, such as `virtio_pci`; those built into the kernel are left out
 * @param dependencies text of modules.dep
 * @param builtin text of modules.builtin
 * @returns paths below /lib/modules/VERSION
 * @throws image-build-failed when the kernel has no such module.
 */
export function moduleLoadOrder(wanted: readonly string[], dependencies: string, builtin: string): string[] {
  const dependenciesOf = new Map<string, readonly string[]>();
  const fileOf = new Map<string, string>();
  for (const line of dependencies.split('\n')) {
    const colon = line.indexOf(':');
    if (colon < 0) continue;
    const file = line.slice(0, colon);
    // depmod lists the direct dependency first and the deepest last.
    dependenciesOf.set(
      file,
      line
        .slice(colon + 1)
        .split(' ')
        .filter(Boolean)
        .reverse(),
    );
    fileOf.set(moduleName(file), file);
  }
  const builtins = new Set(builtin.split('\n').filter(Boolean).map(moduleName));
  const order = new Set<string>();
  for (const name of wanted) {
    if (builtins.has(name)) continue;
    const file = fileOf.get(name);
    if (file === undefined) {
      throw new VmRunnerError('image-build-failed', 'the kernel of the default image lacks a module', {
        subject: name,
      });
    }
    for (const dependency of dependenciesOf.get(file) ?? []) order.add(dependency);
    order.add(file);
  }
  return [...order];
}

/** `virtio_pci` from `kernel/drivers/virtio/virtio-pci.ko.xz`: file names and module names differ in dashes. */
function moduleName(file: string): string {
  const base = file.slice(file.lastIndexOf('/') + 1);
  return base.replace(/\.ko(\.\w+)?$/, '').replaceAll('-', '_');
}
