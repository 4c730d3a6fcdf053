import fc from 'fast-check';
import { expect, test } from 'vitest';
import { findLine } from './find-line.ts';

const line = '0a1b';

/** Whether the line is found in a text that arrives cut at these places. */
function isFound(text: string, cuts: readonly number[]): boolean {
  const finder = findLine(line);
  const bytes = Buffer.from(text);
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  for (const [i, place] of places.slice(1).entries()) finder.push(bytes.subarray(places[i], place));
  return finder.found;
}

const pieces = fc.array(fc.constantFrom('\n', '0a1b', '0a', '1b', 'x', ' '), { maxLength: 30 });

test('a line is found wherever it is and however the stream is cut', () => {
  fc.assert(
    fc.property(pieces, fc.array(fc.nat(), { maxLength: 10 }), (texts, cuts) => {
      const text = texts.join('');
      const wanted = text.split('\n').slice(1, -1).includes(line);
      expect(isFound(text, cuts)).toBe(wanted);
    }),
  );
});

test('a line is found when it is cut anywhere, and byte by byte', () => {
  const text = 'x\n0a1b\ny';
  const places = [...text].map((_, i) => i);
  for (const place of places) expect(isFound(text, [place])).toBe(true);
  expect(isFound(text, places)).toBe(true);
});

test('a line is not found within another, nor without its end', () => {
  for (const text of ['\n0a1b', '0a1b\n', '\n 0a1b\n', '\n0a1b \n', '\n0a\n1b\n']) {
    expect(isFound(text, [])).toBe(false);
  }
  expect(isFound('\n0a1b\n', [])).toBe(true);
});
