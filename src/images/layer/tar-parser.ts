import { NO_XATTRS, type EntryKind, type LayerEntry } from './entry.js';
import { LAYER_LIMITS, layerError, type LayerLimits } from './limits.js';
import { normalPath } from './path.js';
import { readPax, xattrList, type Extras } from './pax.js';
import { HEADER_BYTES, parseHeader, type TarHeader } from './tar-header.js';

/** Who gets what a layer's tar holds. */
export interface LayerSink {
  /** @returns the block at which the bytes of the file begin that are given next */
  beginFile(size: number): number;
  data(bytes: Buffer): void;
  entry(entry: LayerEntry): void;
}

const KINDS: Readonly<Record<string, EntryKind>> = {
  '0': 'file',
  '7': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'character-device',
  '4': 'block-device',
  '5': 'directory',
  '6': 'fifo',
};
const LARGEST_ID = 2 ** 32 - 2;
const LARGEST_TIME = 2 ** 40;
const LONGEST_LINK = 4095;

/**
 * Reads the tar of a layer that comes in pieces: ustar, GNU's long names and PAX. Strict, and bounded in all that it keeps.
 *
 * Not the reader of archives from guests: this one gives where a file's bytes are, keeps names as bytes, knows devices,
 * owners and extended attributes, and takes pieces as fast as they come instead of being asked for them.
 */
export class TarParser {
  readonly #sink: LayerSink;
  readonly #limits: LayerLimits;
  #state: 'header' | 'extra' | 'data' | 'padding' | 'end' = 'header';
  /** Bytes until the state changes. */
  #left = HEADER_BYTES;
  #padding = 0;
  #pieces: Buffer[] = [];
  #extraFlag = '';
  #extraBytes = 0;
  #extras: Extras = {};
  #entries = 0;
  #path = '';

  constructor(sink: LayerSink, limits: LayerLimits = LAYER_LIMITS) {
    this.#sink = sink;
    this.#limits = limits;
  }

  get entries(): number {
    return this.#entries;
  }

  push(bytes: Buffer): void {
    for (let at = 0; at < bytes.length && this.#state !== 'end';) {
      const end = Math.min(at + this.#left, bytes.length);
      const piece = bytes.subarray(at, end);
      this.#left -= end - at;
      at = end;
      if (this.#state === 'data') this.#sink.data(piece);
      else if (this.#state !== 'padding') this.#pieces.push(piece);
      if (this.#left === 0) this.#next();
    }
  }

  /** @throws image-invalid when the archive ended in its middle. */
  end(): void {
    const isBetween = this.#state === 'header' && this.#left === HEADER_BYTES && this.#extraBytes === 0;
    if (this.#state !== 'end' && !isBetween) throw layerError('layer that ends in its middle', this.#path);
  }

  /** The bytes that the state waited for are here. */
  #next(): void {
    switch (this.#state) {
      case 'header':
        this.#header(parseHeader(this.#collected()));
        return;
      case 'extra':
        this.#extra(this.#collected());
        this.#skipPadding();
        return;
      case 'data':
        this.#skipPadding();
        return;
      default:
        this.#expect('header', HEADER_BYTES);
    }
  }

  #collected(): Buffer {
    const [first] = this.#pieces;
    const whole = this.#pieces.length === 1 && first !== undefined ? first : Buffer.concat(this.#pieces);
    this.#pieces = [];
    return whole;
  }

  #expect(state: 'header' | 'extra' | 'data' | 'padding', bytes: number): void {
    this.#state = state;
    this.#left = bytes;
  }

  #skipPadding(): void {
    if (this.#padding > 0) this.#expect('padding', this.#padding);
    else this.#expect('header', HEADER_BYTES);
  }

  #header(header: TarHeader | undefined): void {
    if (header === undefined) {
      if (this.#extraBytes > 0) throw layerError('layer that ends in its middle', this.#path);
      this.#state = 'end';
      return;
    }
    this.#path = header.name;
    if ('xgLK'.includes(header.flag)) {
      this.#beginExtra(header);
      return;
    }
    this.#entries += 1;
    if (this.#entries > this.#limits.entries) throw layerError(`layer with more than ${this.#limits.entries} entries`);
    const { entry, bodyBytes } = this.#entry(header);
    this.#extras = {};
    this.#extraBytes = 0;
    this.#sink.entry(entry);
    this.#padding = paddingOf(bodyBytes);
    if (bodyBytes > 0) this.#expect('data', bodyBytes);
    else this.#expect('header', HEADER_BYTES);
  }

  #beginExtra({ flag, size, name }: TarHeader): void {
    if (size < 0) throw layerError('layer with a negative size', name);
    this.#extraBytes += size + HEADER_BYTES;
    if (this.#extraBytes > this.#limits.extraBytes) {
      throw layerError(`layer with more than ${this.#limits.extraBytes} bytes of headers for one entry`, name);
    }
    this.#extraFlag = flag;
    this.#padding = paddingOf(size);
    if (size > 0) this.#expect('extra', size);
    else this.#expect('header', HEADER_BYTES);
  }

  #extra(body: Buffer): void {
    if (this.#extraFlag === 'x') readPax(body, this.#extras);
    if (this.#extraFlag === 'L') this.#extras.path = untilZero(body);
    if (this.#extraFlag === 'K') this.#extras.linkpath = untilZero(body);
    // One that holds for all entries (`g`) says nothing that matters here: git writes its commit there.
    this.#path = this.#extras.path ?? this.#path;
  }

  #entry(header: TarHeader): { readonly entry: LayerEntry; readonly bodyBytes: number } {
    const extras = this.#extras;
    const named = extras.path ?? header.name;
    this.#path = named;
    const path = normalPath(named, this.#limits);
    // Old archives mark directories by their names alone.
    const flag = header.flag === '0' && named.endsWith('/') ? '5' : header.flag;
    if (extras.sparse === true || flag === 'S') {
      throw layerError("layer with a sparse file in GNU's format, which no container engine reads", named);
    }
    const kind = KINDS[flag];
    if (kind === undefined) throw layerError(`layer with an entry of the unknown kind ${JSON.stringify(flag)}`, named);
    if (path === '' && kind !== 'directory') throw layerError('layer whose root is no directory', named);
    // Only files have bodies; what others give as their size is not there, as every reader of images has it.
    const size = kind === 'file' ? (extras.size ?? header.size) : 0;
    if (size < 0) throw layerError('layer with a negative size', named);
    if (size > this.#limits.fileBytes) throw layerError('layer with a file that is too large', named);
    const entry: LayerEntry = {
      kind,
      path,
      mode: kind === 'symlink' ? 0o777 : header.mode,
      uid: ownerNumber(extras.uid ?? header.uid, named),
      gid: ownerNumber(extras.gid ?? header.gid, named),
      seconds: Math.abs(extras.seconds ?? header.seconds) > LARGEST_TIME ? 0 : (extras.seconds ?? header.seconds),
      nanoseconds: extras.seconds === undefined ? 0 : (extras.nanoseconds ?? 0),
      size,
      block: kind === 'file' ? this.#sink.beginFile(size) : 0,
      target: this.#target(kind, extras.linkpath ?? header.linkname, named),
      major: deviceNumber(header.major, 0xfff, named),
      minor: deviceNumber(header.minor, 0xfffff, named),
      xattrs: xattrList(extras, named, this.#limits.xattrBytes) ?? NO_XATTRS,
    };
    return { entry, bodyBytes: size };
  }

  #target(kind: EntryKind, linkname: string, path: string): string {
    if (kind === 'hardlink') return normalPath(linkname, this.#limits);
    if (kind !== 'symlink') return '';
    if (linkname === '' || linkname.length > LONGEST_LINK || linkname.includes('\0')) {
      throw layerError('layer with a symbolic link to nowhere', path);
    }
    return linkname;
  }
}

function untilZero(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('latin1', 0, end === -1 ? bytes.length : end);
}

function paddingOf(size: number): number {
  return (HEADER_BYTES - (size % HEADER_BYTES)) % HEADER_BYTES;
}

function ownerNumber(id: number, path: string): number {
  if (id < 0 || id > LARGEST_ID) throw layerError('layer with an owner that Linux cannot have', path);
  return id;
}

function deviceNumber(number: number, most: number, path: string): number {
  if (number < 0 || number > most) throw layerError('layer with a device that Linux cannot have', path);
  return number;
}
