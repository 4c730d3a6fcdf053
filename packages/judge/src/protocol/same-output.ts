const relative = 1e-5;
const absolute = 1e-8;

/**
 * Whether a program's standard output says what was expected, in the way APPS compares (Hendrycks et al.
 * 2021): blanks around lines and blank lines do not count, nor how many blanks part two words. Lines must be
 * equally many, in the same order, with equally many words. Two words a and e (expected) are the same if they
 * are equal texts, or if both are decimal numbers, at least one of them with a point or an exponent, and |a −
 * e| ≤ 1e-8 + 1e-5·|e|.
 *
 * Stricter than APPS's own script on purpose: whole numbers must be equal (it lets 123456789 pass for
 * 123456788), and order counts (it also compares lines and words as sets).
 */
export function sameOutput(actual: string, expected: string): boolean {
  const left = linesOf(actual);
  const right = linesOf(expected);
  return (
    left.length === right.length && left.every((line, i) => line === right[i] || sameLine(line, right[i]))
  );
}

function linesOf(output: string): string[] {
  return output
    .split(/\r\n|\r|\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '');
}

function sameLine(actual: string, expected: string): boolean {
  const left = actual.split(/\s+/);
  const right = expected.split(/\s+/);
  return left.length === right.length && left.every((word, i) => sameWord(word, right[i]));
}

function sameWord(actual: string, expected: string): boolean {
  if (actual === expected) return true;
  if (!isDecimal(actual) || !isDecimal(expected)) return false;
  if (isWhole(actual) && isWhole(expected)) return false;
  const [a, e] = [Number(actual), Number(expected)];
  return Number.isFinite(e) && Math.abs(a - e) <= absolute + relative * Math.abs(e);
}

function isDecimal(word: string): boolean {
  return /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$/i.test(word);
}

function isWhole(word: string): boolean {
  return /^[+-]?\d+$/.test(word);
}
