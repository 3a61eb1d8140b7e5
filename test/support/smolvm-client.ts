import { once } from 'node:events';
import type { Socket } from 'node:net';

// A client of SmolVM's framed protocol v1, written from the wire: `type u8 | length u32 big-endian | payload`.

export const FRAME = { json: 1, stdout: 2, stderr: 3, data: 4, eof: 5 } as const;

export interface Frame {
  readonly type: number;
  readonly payload: Buffer;
}

/** Everything that came in answer to one request. */
export interface Reply {
  /** The control frames, in order. */
  readonly json: readonly Record<string, unknown>[];
  readonly stdout: string;
  readonly stderr: string;
  readonly data: Buffer;
  /** Whether an EOF frame ended the data. */
  readonly eof: boolean;
}

export function frame(type: number, payload: Uint8Array | string = ''): Buffer {
  const bytes = Buffer.from(payload as string);
  const head = Buffer.alloc(5);
  head.writeUInt8(type, 0);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

export function request(value: unknown): Buffer {
  return frame(FRAME.json, JSON.stringify(value));
}

/** One connection, on which frames are read one after the other. */
export class SmolvmConnection {
  readonly socket: Socket;
  #received = Buffer.alloc(0);

  constructor(socket: Socket) {
    this.socket = socket;
    // A peer that hangs up on garbage is what some tests are about; reading tells it.
    socket.on('error', () => undefined);
    socket.pause();
  }

  /** The next frame; `undefined` when the other side has hung up. */
  async next(): Promise<Frame | undefined> {
    for (;;) {
      if (this.#received.length >= 5) {
        const size = this.#received.readUInt32BE(1);
        if (this.#received.length >= 5 + size) {
          const found = { type: this.#received.readUInt8(0), payload: this.#received.subarray(5, 5 + size) };
          this.#received = this.#received.subarray(5 + size);
          return found;
        }
      }
      const chunk = this.socket.read() as Buffer | null;
      if (chunk !== null) this.#received = Buffer.concat([this.#received, chunk]);
      else if (this.socket.readableEnded || this.socket.destroyed) return undefined;
      else await this.#readable();
    }
  }

  /**
   * Reads one reply to its end: the last control frame of `run` and `put_file`, the end of the data of `get_file`, or the end
   * of the connection.
   */
  async reply(): Promise<Reply> {
    const json: Record<string, unknown>[] = [];
    const parts: Record<number, Buffer[]> = { [FRAME.stdout]: [], [FRAME.stderr]: [], [FRAME.data]: [] };
    let eof = false;
    for (;;) {
      const next = await this.next();
      if (next === undefined) break;
      if (next.type === FRAME.json) {
        const value = JSON.parse(next.payload.toString()) as Record<string, unknown>;
        json.push(value);
        const dataFollows = value['ok'] === true && 'size' in value;
        if (!dataFollows) break;
      } else if (next.type === FRAME.eof) {
        eof = true;
        break;
      } else {
        parts[next.type]?.push(next.payload);
      }
    }
    const all = (type: number): Buffer => Buffer.concat(parts[type] ?? []);
    return {
      json,
      stdout: all(FRAME.stdout).toString(),
      stderr: all(FRAME.stderr).toString(),
      data: all(FRAME.data),
      eof,
    };
  }

  async #readable(): Promise<void> {
    const listening = new AbortController();
    const { signal } = listening;
    try {
      await Promise.race(['readable', 'end', 'close'].map((event) => once(this.socket, event, { signal })));
    } finally {
      listening.abort();
    }
  }
}
