/** The place of a guest in an IPv4 network. */
export interface GuestNetwork {
  readonly address: string;
  readonly prefixLength: number;
  readonly gateway: string;
  readonly nameservers: readonly string[];
}

/** QEMU's user network as every guest sees it; the addresses are QEMU's defaults. Each VM has one of its own. */
export const USER_NETWORK: GuestNetwork = {
  address: '10.0.2.15',
  prefixLength: 24,
  gateway: '10.0.2.2',
  nameservers: ['10.0.2.3'],
};
