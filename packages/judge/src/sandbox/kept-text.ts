/** The first bytes of a stream, however long it grows. */
export interface KeptText {
  push(chunk: Buffer): void;
  /** Bytes seen in all. */
  readonly size: number;
  text(): string;
}

/** Keeps the first `keep` bytes; malformed UTF-8 is replaced. */
export function keepText(keep: number): KeptText {
  const parts: Buffer[] = [];
  let kept = 0;
  let size = 0;
  return {
    push(chunk) {
      size += chunk.length;
      if (kept >= keep) return;
      // A copy: a slice would hold the whole chunk in memory.
      const part = Buffer.from(chunk.subarray(0, keep - kept));
      parts.push(part);
      kept += part.length;
    },
    get size() {
      return size;
    },
    text: () => Buffer.concat(parts).toString('utf8'),
  };
}
