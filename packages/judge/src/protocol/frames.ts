/** Splits a stream into frames: four bytes of length, big endian, then that many bytes. */
export interface FrameReader {
  /**
   * Takes the next bytes; throws RangeError at a frame longer than `maxBytes`, after which it is of no use.
   */
  push(chunk: Buffer): void;
}

/** Calls `onFrame` for each whole frame, in bytes of its own. However a stream is cut, one frame is held. */
export function newFrameReader(maxBytes: number, onFrame: (payload: Buffer) => void): FrameReader {
  const header = Buffer.alloc(4);
  let payload: Buffer | null = null;
  let filled = 0;
  return {
    push(chunk) {
      for (let at = 0; ; ) {
        const target: Buffer = payload ?? header;
        const copied = chunk.copy(target, filled, at);
        at += copied;
        filled += copied;
        if (filled < target.length) return;
        filled = 0;
        if (payload === null) {
          const length = header.readUInt32BE();
          if (length > maxBytes) throw new RangeError(`a frame of ${length} bytes, ${maxBytes} are allowed`);
          payload = Buffer.allocUnsafe(length);
        } else {
          payload = null;
          onFrame(target);
        }
      }
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
