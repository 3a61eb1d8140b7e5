import { mkdir } from 'node:fs/promises';
import path from 'node:path';

import { inject } from 'vitest';

import { vmRunner, type CommandResult } from './command-line.js';
import { homeWithImages } from './e2e.js';
import { familyImages, writeLayout, type MadeImage } from './made-images.js';

/** The command line on a store of its own, and images for it. */
export interface ImageCommands {
  readonly directory: string;
  readonly home: string;
  readonly vm: (...args: readonly string[]) => Promise<CommandResult>;
  readonly run: (image: string, ...args: readonly string[]) => Promise<CommandResult>;
  readonly families: Readonly<Record<string, MadeImage>>;
  /** Makes an image of these facts, and returns its reference. */
  readonly layout: (name: string, image?: MadeImage) => Promise<string>;
}

export async function imageCommands(): Promise<ImageCommands> {
  const families = await familyImages();
  const { directory: parent, home } = await homeWithImages(inject('sharedHome'));
  const directory = path.join(parent, 'work');
  await mkdir(directory);
  const options = { home, cwd: directory };
  const vm = (...args: readonly string[]): Promise<CommandResult> => vmRunner(args, options);
  return {
    directory,
    home,
    families,
    vm,
    run: (image, ...args) => vm('run', '-q', '--network', 'none', '--image', image, ...args),
    layout: async (name, image = families[name]) => {
      if (image === undefined) throw new Error(`no such family: ${name}`);
      await writeLayout(path.join(directory, name), image);
      return `oci:${name}`;
    },
  };
}
