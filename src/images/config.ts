import type { ImageConfig } from './image.js';
import { JsonReader } from './json-reader.js';
import { VmRunnerError } from '../core/errors.js';

/** What an image's configuration says of the image itself. */
export interface ParsedConfig {
  readonly os: string;
  readonly architecture: string;
  readonly diffIds: readonly string[];
  /** When it was built, as it stands there; empty when unknown. */
  readonly created: string;
  readonly config: ImageConfig;
}

/** What a kernel takes as arguments and environment of a program. */
const MOST_TEXT_BYTES = 2 ** 20;

/**
 * Of OCI's and Docker's configuration, which differ in nothing that is read here.
 * https://github.com/opencontainers/image-spec/blob/main/config.md
 * @throws image-invalid
 */
export function parseConfig(bytes: Uint8Array): ParsedConfig {
  const document = JsonReader.parse(bytes, 'configuration of the image');
  const config = document.field('config');
  const parsed: ImageConfig = {
    env: config.field('Env').texts(),
    user: config.field('User').text,
    workingDirectory: config.field('WorkingDir').text,
    entrypoint: config.field('Entrypoint').texts(),
    command: config.field('Cmd').texts(),
    volumes: config.field('Volumes').names(),
  };
  checkTexts(parsed);
  return {
    os: document.field('os').text || 'linux',
    architecture: document.field('architecture').text,
    diffIds: document.field('rootfs').field('diff_ids').texts(),
    created: document.field('created').text,
    config: parsed,
  };
}

function checkTexts({ user, workingDirectory, ...lists }: ImageConfig): void {
  const texts = [user, workingDirectory, ...lists.env, ...lists.entrypoint, ...lists.command, ...lists.volumes];
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  if (bytes > MOST_TEXT_BYTES) {
    throw new VmRunnerError('image-invalid', 'configuration of the image is longer than what a program can be given');
  }
  if (texts.some((text) => text.includes('\0'))) {
    throw new VmRunnerError('image-invalid', 'configuration of the image has a zero byte in a text');
  }
}

type Document = Readonly<Record<string, unknown>>;

/** A configuration as OCI has it. Equal arguments make equal bytes. */
export function renderConfig(options: {
  readonly architecture: string;
  readonly diffIds: readonly string[];
  readonly config: ImageConfig;
  /** For people: where each layer comes from, the first at the bottom. */
  readonly history: readonly string[];
}): Buffer {
  const { architecture, diffIds, config, history } = options;
  const document: Document = {
    architecture,
    os: 'linux',
    config: renderFields(config),
    rootfs: { type: 'layers', diff_ids: diffIds },
    history: history.map((comment) => ({ created_by: comment })),
  };
  return Buffer.from(JSON.stringify(document));
}

/**
 * Another image's configuration with other layers. All that is not told stays, also what we do not act on: labels, ports.
 * @param bytes one that was parsed
 */
export function changeConfig(
  bytes: Uint8Array,
  change: {
    readonly diffIds: readonly string[];
    readonly config?: Partial<ImageConfig> | undefined;
    /** For people: where the topmost layer comes from, when it is new. */
    readonly comment?: string | undefined;
  },
): Buffer {
  const document = JSON.parse(Buffer.from(bytes).toString('utf8')) as Document;
  const history: readonly unknown[] = Array.isArray(document['history']) ? document['history'] : [];
  return Buffer.from(
    JSON.stringify({
      ...document,
      config: { ...(document['config'] as Document | null | undefined), ...renderFields(change.config ?? {}) },
      rootfs: { type: 'layers', diff_ids: change.diffIds },
      history: change.comment === undefined ? history : [...history, { created_by: change.comment }],
    }),
  );
}

/** Those fields that are told, also when they are empty. */
function renderFields(config: Partial<ImageConfig>): Document {
  const { env, user, workingDirectory, entrypoint, command, volumes } = config;
  return {
    ...(user === undefined ? {} : { User: user }),
    ...(env === undefined ? {} : { Env: env }),
    ...(entrypoint === undefined ? {} : { Entrypoint: entrypoint }),
    ...(command === undefined ? {} : { Cmd: command }),
    ...(volumes === undefined ? {} : { Volumes: Object.fromEntries(volumes.map((volume) => [volume, {}])) }),
    ...(workingDirectory === undefined ? {} : { WorkingDir: workingDirectory }),
  };
}
