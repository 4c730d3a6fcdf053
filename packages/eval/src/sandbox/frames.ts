/** Splits a stream into frames: four bytes of length, big endian, then that many bytes. */
export interface FrameReader {
  /** Takes the next bytes; throws RangeError at a frame longer than `maxBytes`. */
  push(chunk: Buffer): void;
}

/** Calls `onFrame` for each whole frame. At most `maxBytes` and one chunk are held. */
export function newFrameReader(maxBytes: number, onFrame: (payload: Buffer) => void): FrameReader {
  let held: Buffer = Buffer.alloc(0);
  let parts: Buffer[] = [];
  let size = 0;
  let needed = 4;
  return {
    push(chunk) {
      parts.push(chunk);
      size += chunk.length;
      if (size < needed) return;
      held = parts.length === 1 ? parts[0] : Buffer.concat(parts);
      let at = 0;
      for (;;) {
        needed = 4;
        if (held.length - at < needed) break;
        const length = held.readUInt32BE(at);
        if (length > maxBytes) throw new RangeError(`a frame of ${length} bytes, ${maxBytes} are allowed`);
        needed = 4 + length;
        if (held.length - at < needed) break;
        onFrame(held.subarray(at + 4, at + needed));
        at += needed;
      }
      held = held.subarray(at);
      parts = held.length === 0 ? [] : [held];
      size = held.length;
    },
  };
}

/** A frame of these bytes. */
export function frame(payload: Uint8Array | string): Buffer {
  const body = typeof payload === 'string' ? Buffer.from(payload) : payload;
  const bytes = Buffer.allocUnsafe(4 + body.length);
  bytes.writeUInt32BE(body.length);
  bytes.set(body, 4);
  return bytes;
}
