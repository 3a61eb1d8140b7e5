/** Where the agent of a VM listens, as plain data: it goes into the record, and any process may dial it. */
export type Endpoint =
  /** Plain HTTP/2 on a unix socket: an agent on this host, or Tart's control socket. */
  | { readonly kind: 'unix'; readonly path: string }
  /** The host ends of QEMU's virtio-serial ports: one client at a time on each, a reset preamble first (proto/CHANNEL.md). */
  | { readonly kind: 'serial'; readonly paths: readonly string[] }
  /** A unix socket that leads to the guest's vsock ports: Firecracker, Cloud Hypervisor, vhost-device-vsock. */
  | { readonly kind: 'hybrid-vsock'; readonly path: string; readonly port: number }
  /** Plain HTTP/2 on the standard input and output of a program: `ssh host vm-agent serve --listen stdio`. */
  | { readonly kind: 'command'; readonly argv: readonly string[] };

/** The largest vsock port; the one above means "any". */
const MOST_VSOCK_PORT = 2 ** 32 - 2;

/** An {@link Endpoint} from foreign JSON; `undefined` when it is none. */
export function parseEndpoint(value: unknown): Endpoint | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { kind, path, paths, port, argv } = value as Readonly<Record<string, unknown>>;
  switch (kind) {
    case 'unix':
      return typeof path === 'string' ? { kind, path } : undefined;
    case 'serial':
      return isTexts(paths) ? { kind, paths } : undefined;
    case 'hybrid-vsock':
      return typeof path === 'string' && isVsockPort(port) ? { kind, path, port } : undefined;
    case 'command':
      return isTexts(argv) && argv.length > 0 ? { kind, argv } : undefined;
    default:
      return undefined;
  }
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((entry) => typeof entry === 'string');
}

function isVsockPort(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= MOST_VSOCK_PORT;
}
