/** Where the agent of a VM listens, as plain data: it goes into the record, and any process may dial it. */
export type Endpoint =
  /** Plain HTTP/2 on a unix socket: an agent on this host. */
  | { readonly kind: 'unix'; readonly path: string }
  /** The host ends of QEMU's virtio-serial ports: one client at a time on each, a reset preamble first (proto/CHANNEL.md). */
  | { readonly kind: 'serial'; readonly paths: readonly string[] };
