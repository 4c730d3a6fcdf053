import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError, DataError } from '@flex/base';
import { temporaryFolder } from '@flex/base/testing';
import { openTokenizer } from '@flex/llama';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { GgufValue } from './gguf-format.ts';
import { tokenizerGguf } from './tokenizer-gguf.ts';

const micro = join(import.meta.dirname, '../../cli/assets/micro');

const plain = (metadata: ReadonlyMap<string, GgufValue>) =>
  Object.fromEntries([...metadata].map(([key, { value }]) => [key.replace('tokenizer.ggml.', ''), value]));

interface Told {
  readonly tokens: readonly string[];
  readonly scores: readonly number[];
  readonly token_type: readonly number[];
  readonly merges: readonly string[];
}

/** SentencePiece's BPE, as llama.cpp has it: neighbours join whose piece has the largest score of all. */
function encodeByScores({ tokens, scores, token_type: types }: Told, text: string): number[] {
  const ids = new Map(tokens.flatMap((token, id) => (types[id] === 1 ? [[token, id] as const] : [])));
  const pieces = [...`▁${text.replaceAll(' ', '▁')}`];
  for (;;) {
    let best = -1;
    const scoreAt = (i: number) =>
      scores[ids.get(pieces[i] + pieces[i + 1]) ?? -1] ?? Number.NEGATIVE_INFINITY;
    for (let i = 0; i + 1 < pieces.length; i++) {
      if (scoreAt(i) > (best < 0 ? Number.NEGATIVE_INFINITY : scoreAt(best))) best = i;
    }
    if (best < 0) break;
    pieces.splice(best, 2, pieces[best] + pieces[best + 1]);
  }
  return pieces.flatMap((piece) => {
    const id = ids.get(piece);
    if (id !== undefined) return [id];
    const name = (byte: number) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
    return [...Buffer.from(piece)].map((byte) => tokens.indexOf(name(byte)));
  });
}

test('scores and types give the tokenizer’s own ids, whatever the text', () => {
  const told = plain(tokenizerGguf(micro, { vocabSize: 2048, modelType: 'llama' })) as unknown as Told;
  const tokenizer = openTokenizer(micro);
  const code = readFileSync(join(import.meta.dirname, 'tokenizer-gguf.ts'), 'utf8');
  const piece = fc
    .tuple(fc.nat(code.length - 1), fc.integer({ min: 1, max: 40 }))
    .map(([at, length]) => code.slice(at, at + length));
  const any = fc.array(fc.oneof(piece, fc.string({ unit: 'grapheme' })), { minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(any, (texts) => {
      // A special token that is written out becomes one.
      const text = texts.join('').replaceAll(/<\/?(s|unk)>|▁/g, '');
      fc.pre(text !== '');
      expect(encodeByScores(told, text)).toEqual(tokenizer.encode(text, { bos: false }));
    }),
  );
});

test('of a file with some bytes changed there is a line or a vocabulary, never a crash', () => {
  const dir = join(temporaryFolder(), 'model');
  mkdirSync(dir);
  const whole = readFileSync(join(micro, 'tokenizer.json'));
  const places = fc.array(fc.tuple(fc.oneof(fc.nat(1500), fc.nat(whole.length - 1)), fc.nat(255)), {
    minLength: 1,
    maxLength: 3,
  });
  fc.assert(
    fc.property(places, (changes) => {
      const bytes = Buffer.from(whole);
      for (const [at, byte] of changes) bytes[at] = byte;
      writeFileSync(join(dir, 'tokenizer.json'), bytes);
      try {
        tokenizerGguf(dir, { vocabSize: 2048, modelType: 'llama' });
      } catch (error) {
        if (!(error instanceof DataError) && !(error instanceof ConfigError)) throw error;
        expect(error.message).not.toContain('\n');
      }
    }),
  );
});

test('a SentencePiece vocabulary is told with its special tokens', () => {
  const told = plain(tokenizerGguf(micro, { vocabSize: 2050, modelType: 'llama' }));
  expect(told).toMatchObject({
    ...{ model: 'llama', pre: 'default', add_bos_token: true, add_eos_token: false, add_space_prefix: true },
    ...{ bos_token_id: 1, eos_token_id: 2, unknown_token_id: 0 },
  });
  const { tokens, token_type: types, scores } = told as unknown as Told;
  expect([tokens, types, scores].map(({ length }) => length)).toEqual([2050, 2050, 2050]);
  expect(types.slice(0, 4)).toEqual([2, 3, 3, 6]);
  // Rows of the embedding that no token has.
  expect([tokens.slice(2048), types.slice(2048)]).toEqual([
    ['[PAD2048]', '[PAD2049]'],
    [5, 5],
  ]);
});

/** A protobuf field: a number's bytes, or a message's or text's. */
const field = (number: number, value: number | Buffer | string): Buffer => {
  if (typeof value === 'number') return Buffer.from([number * 8, value]);
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([number * 8 + 2, bytes.length]), bytes]);
};

/** A SentencePiece model of a few pieces behind all bytes. */
function pieces(kind: number): string {
  const score = (value: number): Buffer => {
    const bytes = Buffer.alloc(5, 2 * 8 + 5);
    bytes.writeFloatLE(value, 1);
    return bytes;
  };
  const piece = (name: string, value: number, type: number) =>
    field(1, Buffer.concat([field(1, name), score(value), field(3, type)]));
  const byte = (i: number) => piece(`<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`, 0, 6);
  // Field 35, byte_fallback, has a tag of two bytes.
  const trainer = Buffer.concat([field(3, kind), Buffer.from([0x98, 0x02, 1])]);
  const own = [piece('<unk>', 0, 2), piece('<s>', 0, 3), piece('</s>', 0, 3)];
  const bytes = Array.from({ length: 256 }, (_, i) => byte(i));
  const words = [piece('ab', -0.5, 1), piece('a', -1, 1), piece('b', -2, 1), piece('<tab>', 0, 4)];
  const dir = join(temporaryFolder(), 'model');
  mkdirSync(dir);
  const model = Buffer.concat([...own, ...bytes, ...words, field(2, trainer)]);
  writeFileSync(join(dir, 'tokenizer.model'), model);
  writeFileSync(join(dir, 'added_tokens.json'), '{"<extra>": 263}');
  return dir;
}

test('of tokenizer.model alone, pieces, scores and types are its own', () => {
  const told = plain(tokenizerGguf(pieces(2), { vocabSize: 264, modelType: 'llama' }));
  const { tokens, scores, token_type: types } = told as unknown as Told;
  expect(told).toMatchObject({
    ...{ model: 'llama', pre: 'default', add_bos_token: true, add_space_prefix: true },
    ...{ bos_token_id: 1, eos_token_id: 2, unknown_token_id: 0 },
  });
  expect(tokens.slice(258)).toEqual(['<0xFF>', 'ab', 'a', 'b', '<tab>', '<extra>']);
  expect(scores.slice(258)).toEqual([0, -0.5, -1, -2, 0, 0]);
  expect([...types.slice(0, 4), ...types.slice(258)]).toEqual([2, 3, 3, 6, 6, 1, 1, 1, 4, 4]);
  expect(() => tokenizerGguf(pieces(1), { vocabSize: 264, modelType: 'llama' })).toThrow(/must be BPE/);
});

test('vocab.json and merges.txt alone say as much as a tokenizer.json', () => {
  const dir = join(temporaryFolder(), 'model');
  mkdirSync(dir);
  const added = { added_tokens_decoder: { 4: { content: '<|end|>', special: true } } };
  const config = { tokenizer_class: 'Qwen2Tokenizer', eos_token: '<|end|>', ...added };
  writeFileSync(join(dir, 'tokenizer_config.json'), JSON.stringify(config));
  writeFileSync(join(dir, 'vocab.json'), '{"a": 0, "b": 1, "Ġ": 2, "Ġa": 3}');
  writeFileSync(join(dir, 'merges.txt'), '#version: 0.2\nĠ a\n');
  expect(plain(tokenizerGguf(dir, { vocabSize: 5, modelType: 'qwen2' }))).toEqual({
    ...{ model: 'gpt2', pre: 'qwen2', merges: ['Ġ a'], eos_token_id: 4 },
    ...{ tokens: ['a', 'b', 'Ġ', 'Ġa', '<|end|>'], token_type: [1, 1, 1, 1, 3] },
    ...{ add_bos_token: false, add_eos_token: false },
  });
});

const words = String.raw`[^\r\n\p{L}\p{N}]?\p{L}+|`;
const rest = String.raw`| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;
const split = (Regex: string) => ({ type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false });
const bytes = (use_regex: boolean) => ({ type: 'ByteLevel', add_prefix_space: false, use_regex });
const sequence = (...pretokenizers: object[]) => ({ type: 'Sequence', pretokenizers });
const digits = { type: 'Digits', individual_digits: true };

/** A folder with a small byte-level tokenizer. */
function byteLevel(pre_tokenizer: object, config: object = {}, changes: object = {}): string {
  const dir = join(temporaryFolder(), 'model');
  mkdirSync(dir);
  const names = ['<|end|>', '<fim_prefix>', '<fim_suffix>', '<fim_middle>'];
  const added_tokens = names.map((content, i) => ({ id: 4 + i, content, special: i !== 3 }));
  const model = { type: 'BPE', vocab: { a: 0, b: 1, Ġ: 2, Ġa: 3 }, merges: ['Ġ a'], ...changes };
  const json = { added_tokens, pre_tokenizer, decoder: { type: 'ByteLevel' }, model };
  writeFileSync(join(dir, 'tokenizer.json'), JSON.stringify(json));
  writeFileSync(join(dir, 'tokenizer_config.json'), JSON.stringify({ eos_token: '<|end|>', ...config }));
  return dir;
}

describe('a byte-level vocabulary', () => {
  test.each([
    ['gpt-2', bytes(true)],
    ['starcoder', sequence(digits, bytes(true))],
    ['llama-bpe', sequence(split(`(?i:'s|'t|'re|'ve|'m|'ll|'d)|${words}\\p{N}{1,3}${rest}`), bytes(false))],
    ['qwen2', sequence(split(`(?i:'s|'t|'re|'ve|'m|'ll|'d)|${words}\\p{N}${rest}`), bytes(false))],
  ])('has its merges, its tokens and the name %s', (name, preTokenizer) => {
    const told = plain(tokenizerGguf(byteLevel(preTokenizer), { vocabSize: 8, modelType: 'qwen2' }));
    expect(told).toEqual({
      ...{ model: 'gpt2', pre: name, merges: ['Ġ a'], eos_token_id: 4 },
      tokens: ['a', 'b', 'Ġ', 'Ġa', '<|end|>', '<fim_prefix>', '<fim_suffix>', '<fim_middle>'],
      token_type: [1, 1, 1, 1, 3, 3, 3, 4],
      ...{ fim_pre_token_id: 5, fim_suf_token_id: 6, fim_mid_token_id: 7 },
      ...{ add_bos_token: false, add_eos_token: false },
    });
  });

  test('of merges as pairs, with a chat template and a beginning, says so', () => {
    const config = {
      bos_token: { content: '<|end|>' },
      add_bos_token: true,
      chat_template: '{{ messages }}',
    };
    const told = plain(
      tokenizerGguf(byteLevel(bytes(true), config, { merges: [['Ġ', 'a']] }), {
        vocabSize: 8,
        modelType: 'qwen2',
      }),
    );
    expect(told).toMatchObject({
      ...{ merges: ['Ġ a'], bos_token_id: 4, add_bos_token: true },
      'tokenizer.chat_template': '{{ messages }}',
    });
  });

  test.each([
    [
      () => byteLevel(sequence(split('[0-9]+'), bytes(false))),
      8,
      /splits a text by \["\[0-9\]\+"\].*gpt-2, starcoder/,
    ],
    [() => byteLevel({ ...bytes(true), add_prefix_space: true }), 8, /splits a text by/],
    [() => byteLevel({ type: 'Sequence', pretokenizers: 3 }), 8, /"pre_tokenizer.pretokenizers" is wrong/],
    [() => byteLevel(bytes(true)), 7, /"<fim_middle>" is token 7, and the model has 7 rows/],
    [() => byteLevel(bytes(true), {}, { type: 'Unigram' }), 8, /"model.type" is wrong: must be BPE/],
    [temporaryFolder, 8, /vocab\.json and merges\.txt must be there/],
  ])('that llama.cpp has not is refused: %#', (make, vocabSize, line) => {
    const dir = make();
    expect(() => tokenizerGguf(dir, { vocabSize, modelType: 'llama' })).toThrow(line);
  });
});
