/** What cuts a piece of text into tokens: byte-pair encoding, or a unigram model. */
export interface TokenModel {
  /** Every token's id by its name. */
  readonly ids: ReadonlyMap<string, number>;
  /** The ids of a piece of text, which normalising and splitting have made. */
  encode(piece: string): readonly number[];
}

/** The names of the 256 tokens that each stand for one byte, where a vocabulary has them. */
export const byteName = (byte: number): string => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;

const utf8 = new TextEncoder();

/** The ids of a text's bytes; undefined where the vocabulary lacks one of them. */
export function byteIds(ids: ReadonlyMap<string, number>): (text: string) => number[] | undefined {
  const ofByte = Array.from({ length: 256 }, (_, byte) => ids.get(byteName(byte)));
  return (text) => {
    const found = Array.from(utf8.encode(text), (byte) => ofByte[byte]);
    return found.includes(undefined) ? undefined : (found as number[]);
  };
}
