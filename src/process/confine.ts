/** Whom a program runs as instead of us. */
export interface ProgramUser {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups: these and no others. */
  readonly groups: readonly number[];
}

/** What a program may do, set before its first instruction and kept without anybody watching it. */
export interface Confinement {
  /** `undefined`: it runs as we do. */
  readonly user: ProgramUser | undefined;
  /** The longest that a file may become which it writes. A write beyond fails, and does not end the program. */
  readonly fileBytes: number | undefined;
  /** Directories of control groups that it is moved into. */
  readonly cgroups: readonly string[];
  /** Whether this host has `setpriv`; without it nothing but the limits holds. */
  readonly setpriv: boolean;
}

/** A named pipe with something to read in it, which stays open as long as the program lives. */
export interface Opening {
  readonly pipe: string;
  readonly text: string;
}

/** Files at a time: QEMU spins when it cannot accept a connection. */
const OPEN_FILES = 8192;
/** POSIX counts in these. */
const BLOCK_BYTES = 512;

/**
 * The command line that starts another one confined. Each step takes the place of the one before, so the process that is started
 * is the program in the end; and all of them have its arguments, by which it can be found.
 */
export function confined(
  argv: readonly string[],
  { user, fileBytes, cgroups, setpriv }: Confinement,
  opening?: Opening,
): string[] {
  const steps = [
    ...cgroups.map((directory) => `{ echo $$ >${quoted(`${directory}/cgroup.procs`)}; } 2>/dev/null || :`),
    ...(opening === undefined ? [] : openingSteps(opening)),
    'ulimit -c 0',
    `ulimit -n ${OPEN_FILES} 2>/dev/null || ulimit -n "$(ulimit -H -n)"`,
    ...(fileBytes === undefined ? [] : [`ulimit -f ${Math.ceil(fileBytes / BLOCK_BYTES)}`, `trap '' XFSZ`]),
    // What a shell adds to its environment by itself.
    'unset PWD OLDPWD SHLVL _',
    `exec ${[...(setpriv ? privileges(user) : []), '"$@"'].join(' ')}`,
  ];
  return ['/bin/sh', '-c', steps.join('\n'), 'sh', ...argv];
}

function privileges(user: ProgramUser | undefined): string[] {
  if (user === undefined) return ['setpriv', '--no-new-privs', '--'];
  const { uid, gid, groups } = user;
  return [
    ...['setpriv', `--reuid=${uid}`, `--regid=${gid}`],
    groups.length === 0 ? '--clear-groups' : `--groups=${groups.join(',')}`,
    ...['--inh-caps=-all', '--ambient-caps=-all', '--bounding-set=-all', '--no-new-privs', '--'],
  ];
}

/** In a directory that nobody else can enter. */
function openingSteps({ pipe, text }: Opening): string[] {
  const at = quoted(pipe);
  return [`rm -f ${at} && mkfifo -m 666 ${at} && exec 9<>${at} && echo ${quoted(text)} >&9 || exit 1`];
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
