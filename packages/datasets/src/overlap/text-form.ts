/**
 * The form in which texts are compared: Unicode's NFKC, lower case, without blanks, line ends, control and
 * format characters. Punctuation, comments and digits stay.
 */
export function comparable(text: string): string {
  return text
    .normalize('NFKC')
    .toLowerCase()
    .replaceAll(/[\s\p{Cc}\p{Cf}]+/gu, '');
}

/** The words of a text: runs of letters, digits and underscores of its NFKC form, in lower case. */
export function wordsOf(text: string): string[] {
  return (
    text
      .normalize('NFKC')
      .toLowerCase()
      .match(/[\p{L}\p{M}\p{N}_]+/gu) ?? []
  );
}
