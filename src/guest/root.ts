import { Root } from './gen/vmrunner/agent/v1/root_pb.js';

/** Which root file system a path, a program or a user is looked up in: that of the job's image, or the one of our own tools. */
export type GuestRoot = 'image' | 'base';

/** Whatever names a path, a program or a user. */
export interface InRoot {
  /** Default: `image`. */
  readonly root?: GuestRoot | undefined;
}

export function rootOf({ root }: InRoot): Root {
  return root === 'base' ? Root.BASE : Root.IMAGE;
}
