import { combineInputErrors, VmRunnerError } from '../core/errors.js';
import { DEFAULT_HOST_CONFIG, type HostConfig, type NamedImage } from './host-config.js';
import type { HostChecks } from './kinds.js';
import { Reading } from './reading.js';
import { SCHEMA, TABLE_NAMES } from './schema.js';
import { parseToml, renderToml, TomlError, type TomlTable, type TomlValue } from './toml.js';

/**
 * Reads the text of a host file.
 * @param file its absolute path, for sentences and for what is shown of the origin of settings
 * @throws host-config-invalid that names every mistake with its line.
 */
export function parseHostFile(text: string, file: string, checks: HostChecks): HostConfig {
  const root = parseRoot(text, file);
  const reading = new Reading(file, checks);
  reading.checkNames(root, TABLE_NAMES, '');
  const config = { ...readTables(root, reading, checks), file, origins: reading.origins };
  const error = combineInputErrors(reading.mistakes);
  if (error !== undefined) throw error;
  return config;
}

function parseRoot(text: string, file: string): TomlTable {
  try {
    return parseToml(text);
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause;
    throw new VmRunnerError('host-config-invalid', `${file}:${cause.line}: not TOML`, {
      subject: cause.message,
      hint: 'Lines are NAME = VALUE below a [TABLE]; texts are in quotes.',
      cause,
    });
  }
}

function readTables(root: TomlTable, reading: Reading, checks: HostChecks): Omit<HostConfig, 'file' | 'origins'> {
  const { capacity, keep, registries, qemu } = DEFAULT_HOST_CONFIG;
  const defaults = reading.values(reading.table(root, 'defaults'), 'defaults', SCHEMA.defaults);
  const limits = reading.values(reading.table(root, 'limits'), 'limits', SCHEMA.limits);
  const room = reading.values(reading.table(root, 'capacity'), 'capacity', SCHEMA.capacity);
  const rules = reading.values(reading.table(root, 'keep'), 'keep', SCHEMA.keep);
  const budgets = reading.values(reading.table(root, 'budgets'), 'budgets', SCHEMA.budgets);
  const registryTable = reading.table(root, 'registries');
  const reach = reading.values(registryTable, 'registries', SCHEMA.registries);
  const { insecure = registries.insecure } = reach;
  // A list that could not be read allows we know not what.
  if (reach.insecure !== undefined || !registryTable.entries.has('insecure')) {
    checkPlainMirrors(registryTable.entries.get('mirrors'), insecure, reading, checks);
  }
  const machine = reading.values(reading.table(root, 'qemu'), 'qemu', SCHEMA.qemu);
  return {
    defaults: {
      ...{ image: defaults.image, cpus: defaults.cpus, memoryMiB: defaults.memory, diskMiB: defaults.disk },
      ...{ network: defaults.network, pull: defaults.pull, template: defaults.template },
      bootTimeoutMs: defaults['boot-timeout'],
    },
    images: readImages(reading.table(root, 'images'), reading),
    limits: {
      ...{ cpus: limits.cpus, memoryMiB: limits.memory, diskMiB: limits.disk, pids: limits.pids },
      ...{ networks: limits.networks, images: limits.images },
    },
    capacity: {
      ...{ vms: room.vms, cpus: room.cpus, memoryMiB: room.memory, diskMiB: room.disk },
      keepFreeMemoryMiB: room['keep-free-memory'] ?? capacity.keepFreeMemoryMiB,
      keepFreeDiskMiB: room['keep-free-disk'] ?? capacity.keepFreeDiskMiB,
      waitMs: room.wait ?? capacity.waitMs,
    },
    keep: {
      vmMs: rules.vm ?? keep.vmMs,
      logsMs: rules.logs ?? keep.logsMs,
      logsOf: rules['log-vms'] ?? keep.logsOf,
      logsBytes: rules['log-size'] ?? keep.logsBytes,
      templatesMs: rules.templates ?? keep.templatesMs,
      imagesMs: rules.images,
    },
    budgets: { imagesBytes: budgets.images, templatesBytes: budgets.templates, downloadsBytes: budgets.downloads },
    registries: {
      mirrors: reach.mirrors ?? registries.mirrors,
      insecure,
      caFiles: reach['ca-files'] ?? registries.caFiles,
      credentialsFile: reach.credentials,
    },
    qemu: { binary: machine.binary, isolateTemplates: machine['isolate-templates'] ?? qemu.isolateTemplates },
  };
}

/** Whether a mirror may have plain HTTP stands in another setting than its address. */
function checkPlainMirrors(
  mirrors: TomlValue | undefined,
  insecure: readonly string[],
  reading: Reading,
  { mayBePlain }: HostChecks,
): void {
  const lists = mirrors?.kind === 'table' ? [...mirrors.entries.values()] : [];
  for (const item of lists.flatMap((list) => (list.kind === 'list' ? list.items : []))) {
    if (item.kind !== 'text' || !URL.canParse(item.value)) continue;
    const url = new URL(item.value);
    if (url.protocol !== 'http:' || mayBePlain(url, insecure)) continue;
    const hint = `Give https://, or put ${JSON.stringify(url.host)} into registries.insecure.`;
    reading.mistake(item.line, 'mirror over plain HTTP', `registries.mirrors = ${renderToml(item)}`, hint);
  }
}

/** Names that also are a part of `local/NAME` when the image is prepared. */
const IMAGE_NAME = /^[a-z0-9]+(?:[._-][a-z0-9]+)*$/;
const MOST_NAME_CHARACTERS = 60;

function readImages(table: TomlTable, reading: Reading): ReadonlyMap<string, NamedImage> {
  const images = new Map<string, NamedImage>();
  for (const [name, { line }] of table.entries) {
    const path = `images.${name}`;
    if (!IMAGE_NAME.test(name) || name.length > MOST_NAME_CHARACTERS || name === 'default') {
      const hint = `Use up to ${MOST_NAME_CHARACTERS} lower-case letters and digits, with single dots, dashes or underscores inside; "default" is taken.`;
      reading.mistake(line, 'not a name for an image', path, hint);
      continue;
    }
    const entry = reading.table(table, name, path);
    const isMistaken = table.entries.get(name) !== entry;
    const image = reading.values(entry, path, SCHEMA.images);
    if (!isMistaken && !entry.entries.has('reference')) {
      reading.mistake(line, 'image without a reference', path, 'Say what it stands for: reference = "node:22".');
    }
    images.set(name, {
      ...{ name, reference: image.reference ?? '', prepare: image.prepare, cpus: image.cpus, user: image.user },
      ...{ memoryMiB: image.memory, diskMiB: image.disk, pull: image.pull },
    });
  }
  return images;
}
