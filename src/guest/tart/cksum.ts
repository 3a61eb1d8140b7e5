const POLYNOMIAL = 0x04c11db7;

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte << 24;
  for (let bit = 0; bit < 8; bit += 1) value = value & 0x8000_0000 ? (value << 1) ^ POLYNOMIAL : value << 1;
  return value >>> 0;
});

/** The checksum of POSIX's `cksum`, which every guest has: another order of bits than CRC-32, and the length is in it. */
export class PosixChecksum {
  #crc = 0;
  #size = 0;

  update(bytes: Uint8Array): void {
    this.#size += bytes.length;
    for (const byte of bytes) this.#add(byte);
  }

  /** What `cksum` prints for standard input. */
  get text(): string {
    const sum = new PosixChecksum();
    sum.#crc = this.#crc;
    for (let rest = this.#size; rest > 0; rest = Math.floor(rest / 256)) sum.#add(rest % 256);
    return `${~sum.#crc >>> 0} ${this.#size}`;
  }

  #add(byte: number): void {
    this.#crc = (this.#crc << 8) ^ (TABLE[((this.#crc >>> 24) ^ byte) & 0xff] ?? 0);
  }
}
