import { CPUS, DISK, DURATION, MEMORY, NETWORK, PULL, TEMPLATE, USER } from '../core/values.js';
import {
  asFlag,
  BOOLEAN,
  byRegistry,
  COUNT,
  IMAGE_GLOB,
  listOf,
  MIRROR,
  PATH,
  PROGRAM,
  REFERENCE,
  REGISTRY,
  SIZE,
  SIZE_IN_MIB,
  type SettingKind,
} from './kinds.js';

export interface Setting<T> {
  readonly kind: SettingKind<T>;
  /** One sentence for docs/HOST.md. */
  readonly doc: string;
  /** As people would write it, or what happens without it. */
  readonly otherwise: string;
}

function setting<T>(kind: SettingKind<T>, otherwise: string, doc: string): Setting<T> {
  return { kind, otherwise, doc };
}

const cpus = asFlag('number', CPUS);
const memory = asFlag('size', MEMORY);
const disk = asFlag('size', DISK);
const network = asFlag('`none` or `open`', NETWORK);
const pull = asFlag('`always`, `if-not-present` or `never`', PULL);
const template = asFlag('`auto`, `always` or `never`', TEMPLATE);
const duration = asFlag('time', DURATION);
const user = asFlag('user', USER);

/** What each table of the host file is for. */
export const TABLE_DOCS = {
  defaults: 'What a job gets that says nothing itself.',
  images: 'An image that has a name on this host, with what goes with it. Jobs name it like any other image.',
  limits: 'The most that a job may have. Whoever asks for more is refused; defaults are lowered.',
  capacity: 'What all VMs of this host may have together. Jobs wait for room, in the order in which they came.',
  keep: 'What stays on this host, and how long.',
  budgets: 'What kinds of files may take of the disk before those go that were not used for longest.',
  registries: 'How container registries are reached.',
  qemu: 'How QEMU is run.',
} as const;

/** Every setting of the host file by its table. docs/HOST.md is made of it. */
export const SCHEMA = {
  defaults: {
    image: setting(REFERENCE, 'default', 'A reference, or the name of an image of this file.'),
    cpus: setting(cpus, '1 under software emulation, 2 with hardware acceleration', 'Virtual processors.'),
    memory: setting(memory, '2G', 'Memory.'),
    disk: setting(disk, '16G', 'The most that the VM’s own disk may take of the host’s.'),
    network: setting(network, 'open', 'What the VM can reach: nothing, or all that this host can, itself included.'),
    pull: setting(pull, 'if-not-present; always for GitLab', 'When the registry is asked for an image.'),
    template: setting(template, 'auto', 'Whether VMs start from a saved guest of their size.'),
    'boot-timeout': setting(duration, '120s', 'How long the guest may take to boot.'),
  },
  images: {
    reference: setting(REFERENCE, 'needed', 'What the name stands for; files of this host may be named, too.'),
    prepare: setting(
      PATH,
      'none',
      'A script that is run once, as root, in a VM of the image; jobs get the image as it left it. It runs anew when it or the image changes.',
    ),
    cpus: setting(cpus, 'defaults.cpus', 'Virtual processors for jobs that ask for no number.'),
    memory: setting(memory, 'defaults.memory', 'Memory for jobs that ask for no size.'),
    disk: setting(disk, 'defaults.disk', 'Disk for jobs that ask for no size.'),
    user: setting(user, 'the image’s own', 'Whom jobs run as that say nothing.'),
    pull: setting(pull, 'defaults.pull', 'When the registry is asked for it.'),
  },
  limits: {
    cpus: setting(cpus, 'no limit', 'Virtual processors.'),
    memory: setting(memory, 'no limit', 'Memory.'),
    disk: setting(disk, 'no limit', 'What the VM’s own disk may take of the host’s.'),
    pids: setting(COUNT, 'no limit', 'Processes and threads of the job in its guest.'),
    networks: setting(listOf(network), 'no limit', 'Networks that jobs may have.'),
    images: setting(listOf(IMAGE_GLOB), 'no limit', 'Images that jobs may name: see below.'),
  },
  capacity: {
    vms: setting(COUNT, 'no limit', 'VMs at a time.'),
    cpus: setting(COUNT, 'no limit', 'Virtual processors of all VMs.'),
    memory: setting(SIZE_IN_MIB, 'what the host has, less keep-free-memory', 'Memory of all VMs.'),
    disk: setting(SIZE_IN_MIB, 'what is free', 'What all VMs may write to their disks.'),
    'keep-free-memory': setting(SIZE_IN_MIB, '512M', 'Of measured memory: a VM waits that would leave less.'),
    'keep-free-disk': setting(
      SIZE_IN_MIB,
      '1G',
      'Of the disk of the store: VMs wait, and running ones end, before there is less.',
    ),
    wait: setting(duration, '10m', 'How long a job waits for room.'),
  },
  keep: {
    vm: setting(duration, '1d', 'The longest life of a VM that was asked to stay.'),
    logs: setting(duration, '14d', 'Logs of ended VMs.'),
    'log-vms': setting(COUNT, '50', 'Of how many ended VMs there are logs.'),
    'log-size': setting(SIZE, '256M', 'What all logs of ended VMs may take.'),
    templates: setting(duration, '30d', 'Saved guests that nothing started from for so long go.'),
    images: setting(duration, 'for ever', 'Images that no VM used for so long go.'),
  },
  budgets: {
    images: setting(SIZE, 'no limit', 'Images with their layers.'),
    templates: setting(SIZE, 'no limit', 'Saved guests.'),
    downloads: setting(SIZE, 'no limit', 'Downloads that are not finished.'),
  },
  registries: {
    insecure: setting(listOf(REGISTRY), 'none', 'Registries that are spoken to over plain HTTP.'),
    credentials: setting(PATH, 'none', 'A file like docker’s `config.json`, asked before docker’s own.'),
    mirrors: setting(
      byRegistry(listOf(MIRROR)),
      'none',
      'Where to ask first, in order, by registry; over plain HTTP only this host itself and hosts of `insecure`.',
    ),
    'ca-files': setting(
      byRegistry(PATH),
      'none',
      'PEM files of certificate authorities that are trusted for a host besides the usual ones.',
    ),
  },
  qemu: {
    binary: setting(PROGRAM, 'qemu-system-x86_64', 'Name or path of QEMU. `VM_RUNNER_QEMU` wins.'),
    'isolate-templates': setting(
      BOOLEAN,
      'false',
      'Whether each VM gets a copy of its saved guest’s memory (docs/SECURITY.md). `VM_RUNNER_ISOLATE_TEMPLATES` wins: 1 or 0.',
    ),
  },
} as const;

export type Settings = Readonly<Record<string, Setting<unknown>>>;
export type TableName = keyof typeof SCHEMA;
export const TABLE_NAMES = Object.keys(SCHEMA) as readonly TableName[];

/** What was read of a table; what it does not say, and what was wrong, is `undefined`. */
export type Values<S extends Settings> = {
  readonly [Name in keyof S]: S[Name] extends Setting<infer T> ? T | undefined : never;
};
