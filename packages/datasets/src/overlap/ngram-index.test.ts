import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ngramIndex, ngramRule } from './ngram-index.ts';
import { comparable, wordsOf } from './text-form.ts';

const ngramsOf = (text: string) => {
  const words = wordsOf(text);
  const { words: n } = ngramRule;
  return new Set(words.flatMap((_, i) => (i + n <= words.length ? [words.slice(i, i + n).join(' ')] : [])));
};

/** The same as an index gives, n-gram by n-gram. */
function likeOf(passages: readonly string[], texts: readonly string[], leastShare: number) {
  const sets = passages.map(ngramsOf);
  const isBoilerplate = (ngram: string) => sets.filter((set) => set.has(ngram)).length > ngramRule.passages;
  const there = new Set(texts.flatMap((text) => [...ngramsOf(text)]));
  return sets.flatMap((set, passage): [number, number][] => {
    const telling = [...set].filter((ngram) => !isBoilerplate(ngram));
    const share = telling.filter((ngram) => there.has(ngram)).length / telling.length;
    return telling.length >= ngramRule.least && share >= leastShare ? [[passage, share]] : [];
  });
}

test('an index finds the passages and shares that comparing every n-gram finds', () => {
  const word = fc.constantFrom('a', 'b', 'to');
  const passage = fc.array(word, { maxLength: 30 }).map((words) => words.join(' '));
  const common = fc.constant(
    'this is what every single passage here begins with and what is in all of them ',
  );
  const text = fc.tuple(fc.option(common, { nil: '' }), passage).map((parts) => parts.join(''));
  const least = fc.constantFrom(0.2, 0.5, 0.8, 1);
  fc.assert(
    fc.property(
      fc.array(text, { maxLength: 20 }),
      fc.array(text, { maxLength: 3 }),
      least,
      (passages, texts, share) => {
        const found = ngramIndex(passages).like(texts.map(wordsOf), share);
        expect(found.sort(([a], [b]) => a - b)).toEqual(likeOf(passages, texts, share));
      },
    ),
    { numRuns: 300 },
  );
});

test('a search leaves no trace in the next', () => {
  const text = 'one two three four five six seven eight nine ten eleven twelve';
  const index = ngramIndex([text]);
  for (let i = 0; i < 3; i++) expect(index.like([wordsOf(text), wordsOf(text)], 0.5)).toEqual([[0, 1]]);
  expect(index.like([wordsOf('zero')], 0.5)).toEqual([]);
});

test('texts are compared without blanks, case and Unicode’s other ways of writing them, and with all else', () => {
  expect(comparable('\uFEFFDef ﬁ(x):\r\n\treturn\u00A0X²\u200B')).toBe('deffi(x):returnx2');
  expect(comparable('é')).toBe(comparable('e\u0301'));
  expect(comparable('a-b')).not.toBe(comparable('a+b'));
  expect(wordsOf('Write x_1, naïve: #2\n')).toEqual(['write', 'x_1', 'naïve', '2']);
});
