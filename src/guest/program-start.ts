import { create, type MessageInitShape, type MessageShape } from '@bufbuild/protobuf';
import type { ClientDuplexStream } from '@grpc/grpc-js';

import type { Program } from '../core/job.js';
import { ExecRequestSchema, type ExecResponse } from './gen/vmrunner/agent/v1/exec_pb.js';
import { rootOf, type InRoot } from './root.js';

export type ExecCall = ClientDuplexStream<MessageShape<typeof ExecRequestSchema>, ExecResponse>;

/** What programs need that run in the foreground or by themselves. */
export interface StartOptions extends InRoot {
  readonly program: Program;
  readonly env?: Readonly<Record<string, string>>;
  /** Whether `env` is the whole environment. Default: it is added to the agent's own small one. */
  readonly clearEnv?: boolean;
  /** Whether `program` is given to the image's ENTRYPOINT; an empty argv then means the image's own command. */
  readonly entrypoint?: boolean | undefined;
  /** Permission bits that new files do not get. Default: 022. */
  readonly umask?: number | undefined;
  /** Absolute path in the guest. Default: the image's working directory, else the user's home. */
  readonly cwd?: string | undefined;
  /** `name`, `uid`, `name:group` or `uid:gid`. Default: the image's user, else root. */
  readonly user?: string | undefined;
  /** How long it may run before the guest ends its process tree. Default: for ever. */
  readonly timeoutMs?: number | undefined;
  /** Milliseconds between SIGTERM and SIGKILL. Default: 2000. */
  readonly graceMs?: number;
}

export const DEFAULT_GRACE_MS = 2000;

/** The first message of an Exec call, as far as all programs share it. */
export function programStart(options: StartOptions) {
  const { program } = options;
  return {
    root: rootOf(options),
    program:
      program.kind === 'argv'
        ? { case: 'argv' as const, value: { values: [...program.argv] } }
        : {
            case: 'script' as const,
            value: { content: program.content, args: [...program.args], shells: [...(program.shells ?? [])] },
          },
    env: { ...options.env },
    clearEnv: options.clearEnv ?? false,
    entrypoint: options.entrypoint ?? false,
    ...(options.umask === undefined ? {} : { umask: options.umask }),
    cwd: options.cwd ?? '',
    user: options.user ?? '',
    graceMs: options.graceMs ?? DEFAULT_GRACE_MS,
    timeoutMs: BigInt(Math.ceil(options.timeoutMs ?? 0)),
  };
}

/** @returns whether there is room for more */
export function send(call: ExecCall, request: MessageInitShape<typeof ExecRequestSchema>['request']): boolean {
  if (!call.writable) return true;
  return call.write(create(ExecRequestSchema, { request } as MessageInitShape<typeof ExecRequestSchema>));
}
