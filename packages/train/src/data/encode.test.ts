import { ConfigError, DataError } from '@flex/base';
import { readCompletions, type TokenIds } from '@flex/datasets';
import { describeShared, shared } from '@flex/fixtures';
import { openTokenizer } from '@flex/llama';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type EncodeOptions, encodeExample, isScored, type TokenizerLike, UNSCORED } from './encode.ts';

/** A token a character: its code; 1 begins and 2 ends a text. Chats have no template. */
const characters: TokenizerLike = {
  chatTemplate() {
    throw new ConfigError('no template');
  },
  decodeStream: () => ({ push: (id) => String.fromCharCode(id), end: () => '' }),
  bosId: 1,
  eosId: 2,
  vocabSize: 128,
  encode: (text, { bos } = {}) => [...(bos ? [1] : []), ...Array.from(text, (c) => c.charCodeAt(0))],
};

const usual: EncodeOptions = { maxLength: 512, appendEos: true, lossOn: 'completion' };

function encode(
  prompt: string,
  completion: string,
  options: Partial<EncodeOptions> = {},
  tokenizer = characters,
) {
  const row = { where: 'rows.jsonl:1', prompt, completion };
  const example = encodeExample(row, tokenizer, { ...usual, ...options });
  return isScored(example) ? { input_ids: [...example.input_ids], labels: [...example.labels] } : null;
}

function ofIds(inputIds: readonly number[], labels: readonly number[] | null = null): TokenIds {
  return { where: 'rows.jsonl:7', inputIds, labels };
}

const [a, b, c] = [97, 98, 99];
const no = UNSCORED;

describe('an example of text', () => {
  test('scores its completion and the end-of-text token', () => {
    expect(encode('ab', 'c')).toEqual({ input_ids: [1, a, b, c, 2], labels: [no, no, no, c, 2] });
  });

  test('scores all but the first token with lossOn: all', () => {
    expect(encode('ab', 'c', { lossOn: 'all' })).toEqual({
      input_ids: [1, a, b, c, 2],
      labels: [no, a, b, c, 2],
    });
  });

  test('ends where its text ends without appendEos', () => {
    expect(encode('a', 'b', { appendEos: false })).toEqual({ input_ids: [1, a, b], labels: [no, no, b] });
  });

  test('is filled up with scored end-of-text tokens with lossOn: all-and-padding', () => {
    const options = { maxLength: 6, appendEos: false, lossOn: 'all-and-padding' } as const;
    expect(encode('a', 'b', options)).toEqual({ input_ids: [1, a, b, 2, 2, 2], labels: [no, a, b, 2, 2, 2] });
  });

  test('without a prompt scores all of it', () => {
    expect(encode('', 'ab')).toEqual({ input_ids: [1, a, b, 2], labels: [no, a, b, 2] });
  });

  test('is cut at maxLength, its end-of-text token too', () => {
    expect(encode('a', 'bc', { maxLength: 3 })).toEqual({ input_ids: [1, a, b], labels: [no, no, b] });
  });

  test('is none where the cut leaves nothing to score', () => {
    expect(encode('abc', 'a', { maxLength: 4 })).toBeNull();
  });

  test('begins without a token of its own where the vocabulary has none, and its first is not scored', () => {
    const bare = { ...characters, bosId: null };
    expect(encode('', 'ab', {}, bare)).toEqual({ input_ids: [a, b, 2], labels: [no, b, 2] });
  });

  test('cannot be ended by a vocabulary that has no end-of-text token', () => {
    const endless = { ...characters, eosId: null };
    expect(() => encode('a', 'b', {}, endless)).toThrow(ConfigError);
    expect(encode('a', 'b', { appendEos: false }, endless)).not.toBeNull();
  });

  test('scores every token as itself or not at all, and never the first', () => {
    const text = fc.string({ maxLength: 12 });
    const options = fc.record({
      maxLength: fc.integer({ min: 2, max: 20 }),
      appendEos: fc.boolean(),
      lossOn: fc.constantFrom('completion', 'all', 'all-and-padding'),
    });
    fc.assert(
      fc.property(text, text, options, (prompt, completion, chosen) => {
        const example = encode(prompt, completion, chosen);
        if (!example) return;
        const { input_ids, labels } = example;
        expect(input_ids.length).toBeLessThanOrEqual(chosen.maxLength);
        expect(labels[0]).toBe(UNSCORED);
        expect(labels.every((label, i) => label === UNSCORED || label === input_ids[i])).toBe(true);
      }),
    );
  });
});

describe('an example of token ids', () => {
  const plain = (row: TokenIds, options: Partial<EncodeOptions> = {}) => {
    const example = encodeExample(row, characters, { ...usual, ...options });
    return isScored(example) ? [[...example.input_ids], [...example.labels]] : null;
  };

  test('is used as it is, however long', () => {
    const ids = [5, 6, 7];
    expect(plain(ofIds(ids), { maxLength: 2 })).toEqual([ids, [no, 6, 7]]);
    expect(plain(ofIds(ids, [no, no, 9]))).toEqual([ids, [no, no, 9]]);
  });

  test('is none where nothing is scored', () => {
    expect(plain(ofIds([5]))).toBeNull();
    expect(plain(ofIds([5, 6], [5, no]))).toBeNull();
  });

  test.each([
    ['an id beyond the vocabulary', ofIds([5, 128]), 'input_ids must be in 0 to 127, got 128'],
    ['a negative id', ofIds([-1]), 'input_ids must be in 0 to 127, got -1'],
    ['no ids', ofIds([]), 'input_ids must have an id, got an empty list'],
    ['too few labels', ofIds([5, 6], [5]), 'labels must be as many as input_ids, 2, got 1'],
    ['an unknown label', ofIds([5, 6], [5, -1]), 'labels must be -100 or in 0 to 127, got -1'],
  ])('with %s is refused with its line', (_, row, message) => {
    expect(() => plain(row)).toThrow(new DataError(`rows.jsonl:7: ${message}`));
  });
});

describeShared('data', 'the held-out rows of the micro model', () => {
  const tokenizer = () => ({
    ...openTokenizer(shared('models/micro')),
    chatTemplate: characters.chatTemplate,
  });

  /** The scored tokens of tasks 511–600, over which the reference losses are means. */
  const scored = async (file: string) => {
    const { completions } = await readCompletions(shared(`data/${file}`), { split: '511-600' });
    const options = { ...usual, appendEos: false };
    const examples = completions.map((one) => encodeExample(one, tokenizer(), options));
    return examples.reduce((sum, { labels }) => sum + labels.filter((label) => label !== UNSCORED).length, 0);
  };

  test('have the 7,003 Python tokens whose mean loss is 2.520', async () => {
    expect(await scored('mbpp.jsonl')).toBe(7003);
  });

  test('have the 8,852 Java tokens whose mean loss is 2.581', async () => {
    expect(await scored('mbjp.jsonl')).toBe(8852);
  });
});
