/** A message to the worker: a letter, then texts, each its length and UTF-16 as Java has it. */
export function message(tag: string, ...texts: readonly string[]): Buffer {
  const parts = texts.flatMap((text) => {
    const length = Buffer.alloc(4);
    length.writeInt32BE(text.length);
    return [length, Buffer.from(text, 'utf16le').swap16()];
  });
  return Buffer.concat([Buffer.from(tag, 'latin1'), ...parts]);
}

/** The letter of a message. */
export function tagOf(bytes: Buffer): string {
  return String.fromCharCode(bytes[0]);
}

/** The text that ends a message and starts, with its length, at this byte. */
export function textAt(bytes: Buffer, at: number): string {
  return Buffer.from(bytes.subarray(at + 4))
    .swap16()
    .toString('utf16le');
}
