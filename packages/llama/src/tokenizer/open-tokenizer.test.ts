import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DataError } from '@flex/base';
import { describeShared, shared } from '@flex/fixtures';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { openTokenizer } from './open-tokenizer.ts';
import type { DecodeOptions, Tokenizer } from './tokenizer.ts';

const root = mkdtempSync(join(tmpdir(), 'flex-tokenizer-'));
afterAll(() => rmSync(root, { recursive: true }));
let made = 0;

function directory(files: Record<string, unknown>): string {
  const dir = join(root, `tokenizer-${made++}`);
  mkdirSync(dir);
  for (const [name, content] of Object.entries(files))
    writeFileSync(join(dir, name), JSON.stringify(content));
  return dir;
}

const specialToken = (id: number, content: string) => ({
  id,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
});

/** Characters that go wrong first: spaces, line ends, marks, joiners, byte order marks, several bytes. */
const awkward = [
  ...' \t\n\r.,!?\'"#(){}\u00A0\u0301\u200D\u2028\uFEFF\uFFFDaZ09é漢😀\0',
  "n't",
  " 's",
  '    ',
];
const anyText = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme' }),
  fc.string({ unit: fc.constantFrom(...awkward), maxLength: 30 }),
);

function stream(tokenizer: Tokenizer, ids: readonly number[], options?: DecodeOptions): string[] {
  const decoder = tokenizer.decodeStream(options);
  return [...ids.map((id) => decoder.push(id)), decoder.end()];
}

/** What every tokenizer must do with text that does not spell its special tokens. */
function checkRoundTrip(tokenizer: Tokenizer, text: string): void {
  const ids = tokenizer.encode(text);
  expect(tokenizer.decode(ids)).toBe(text);
  expect(tokenizer.decode(tokenizer.encode(text, { bos: false }))).toBe(text);
  expect(stream(tokenizer, ids).join('')).toBe(text);
  expect(Math.max(...ids)).toBeLessThan(tokenizer.vocabSize);
}

/** GPT-2's alphabet in the order of its bytes: 256 characters that are printed. */
function byteAlphabet(): string[] {
  const printable = [...'!~', ...'¡¬', ...'®ÿ'].map((character) => character.charCodeAt(0));
  let other = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const own = [0, 2, 4].some((i) => byte >= printable[i] && byte <= printable[i + 1]);
    return String.fromCharCode(own ? byte : other++);
  });
}

/** A byte-level tokenizer such as Llama 3's, with two merges. */
function byteLevel(config: object = {}): string {
  const tokens = [...byteAlphabet(), 'ab', 'Ġab'];
  return directory({
    'tokenizer.json': {
      added_tokens: [specialToken(258, '<|begin_of_text|>'), specialToken(300, '<|eot_id|>')],
      normalizer: null,
      pre_tokenizer: {
        type: 'Sequence',
        pretokenizers: [
          {
            type: 'Split',
            pattern: { Regex: '\\s+(?!\\S)|\\s?\\S+|\\s+' },
            behavior: 'Isolated',
            invert: false,
          },
          { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
        ],
      },
      post_processor: {
        type: 'TemplateProcessing',
        single: [
          { SpecialToken: { id: '<|begin_of_text|>', type_id: 0 } },
          { Sequence: { id: 'A', type_id: 0 } },
        ],
        pair: [],
        special_tokens: {},
      },
      decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
      model: {
        type: 'BPE',
        vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
        merges: ['a b', 'Ġ ab'],
      },
    },
    'tokenizer_config.json': {
      bos_token: { content: '<|begin_of_text|>' },
      eos_token: '<|eot_id|>',
      ...config,
    },
  });
}

describe('a byte-level tokenizer', () => {
  const tokenizer = openTokenizer(byteLevel());

  it('gives every text back', () => {
    fc.assert(
      fc.property(anyText, (text) => checkRoundTrip(tokenizer, text)),
      { numRuns: 500 },
    );
  });

  it('merges, begins a text as its template says, and counts its added tokens', () => {
    expect(tokenizer).toMatchObject({ vocabSize: 301, bosId: 258, eosId: 300, padId: null });
    expect(tokenizer.encode('ab ab')).toEqual([258, 256, 257]);
    expect(tokenizer.encode('ab', { bos: false })).toEqual([256]);
    expect(tokenizer.encode('')).toEqual([258]);
  });

  it('begins no text where the configuration says so, or where there is nothing to begin it with', () => {
    expect(openTokenizer(byteLevel({ add_bos_token: false })).encode('ab')).toEqual([256]);
    const dir = byteLevel({ bos_token: null });
    const without = openTokenizer(dir);
    expect(without.encode('ab')).toEqual([256]);
    expect(() => without.encode('ab', { bos: true })).toThrow(
      new DataError(`${join(dir, 'tokenizer.json')}: there is no "bos_token" to begin a text with`),
    );
  });

  it('writes special tokens only when asked to', () => {
    expect(tokenizer.decode([258, 256, 300])).toBe('ab');
    expect(tokenizer.decode([258, 256, 300], { skipSpecial: false })).toBe('<|begin_of_text|>ab<|eot_id|>');
  });

  it('names an id that is not in the vocabulary', () => {
    for (const id of [-1, 259, 301, 0.5, Number.NaN]) {
      expect(() => tokenizer.decode([id])).toThrow(`token id ${id} is not in the vocabulary of 301`);
    }
  });
});

describe('a tokenizer directory', () => {
  it('without its files is refused', () => {
    const empty = directory({});
    const files = 'tokenizer.json, tokenizer.model, or vocab.json and merges.txt must be there';
    const missing = `there is no tokenizer; ${files}`;
    expect(() => openTokenizer(empty)).toThrow(new DataError(`${empty}: ${missing}`));
    const vocab = directory({ 'vocab.json': {} });
    expect(() => openTokenizer(vocab)).toThrow(new DataError(`${vocab}: ${missing}`));
    for (const half of [
      directory({ 'tokenizer.json': {} }),
      directory({ 'vocab.json': {}, 'merges.txt': '' }),
    ]) {
      const beside = 'tokenizer_config.json must be beside the tokenizer';
      expect(() => openTokenizer(half)).toThrow(new DataError(`${half}: ${beside}`));
    }
    expect(() => openTokenizer(join(root, 'none'))).toThrow(`${join(root, 'none')}: no such directory`);
  });

  it('that is malformed is refused', () => {
    const config = { 'tokenizer_config.json': {} };
    const noTokens = directory({ 'tokenizer.json': { decoder: { type: 'ByteLevel' } }, ...config });
    expect(() => openTokenizer(noTokens)).toThrow(
      /tokenizer.json: "added_tokens" is wrong: .* it is missing$/,
    );
    const noModel = directory({
      'tokenizer.json': { added_tokens: [], decoder: { type: 'ByteLevel' } },
      ...config,
    });
    expect(() => openTokenizer(noModel)).toThrow(/tokenizer.json: "normalizer" is wrong: .* it is missing$/);
    const unknown = byteLevel({ eos_token: '<end>' });
    expect(() => openTokenizer(unknown)).toThrow(/"eos_token" is <end>, which is not in tokenizer.json$/);
    expect(() => openTokenizer(byteLevel({ add_bos_token: 'yes' }))).toThrow(
      /must be true or false; it is "yes"$/,
    );
  });

  it('of another family is refused', () => {
    const dir = byteLevel();
    const path = join(dir, 'tokenizer.json');
    const json = JSON.parse(readFileSync(path, 'utf8'));
    writeFileSync(
      path,
      JSON.stringify({ ...json, decoder: { type: 'WordPiece', prefix: '##', cleanup: true } }),
    );
    const message = 'a decoder of WordPiece is not supported; one with ByteLevel or ByteFallback is';
    expect(() => openTokenizer(dir)).toThrow(new DataError(`${path}: ${message}`));
  });
});

describeShared('models/micro', "the micro model's tokenizer", () => {
  const micro = shared('models/micro');
  const tokenizer = openTokenizer(micro);

  it('gives every text back', () => {
    const anyButItsSpace = anyText.map((text) => text.replaceAll('\u2581', '_'));
    fc.assert(
      fc.property(anyButItsSpace, (text) => checkRoundTrip(tokenizer, text)),
      { numRuns: 1000 },
    );
  });

  it('gives every text with special tokens spelt out back, when they are kept', () => {
    const pieces = fc.array(fc.constantFrom('<s>', '</s>', '<unk>', ' ', '  x', 'y', '\n', '<', 's>'));
    const kept = fc.property(pieces, (parts) => {
      const ids = tokenizer.encode(parts.join(''), { bos: false });
      expect(tokenizer.decode(ids, { skipSpecial: false })).toBe(parts.join(''));
    });
    fc.assert(kept, { numRuns: 500 });
  });

  it('reads its own sign for the space, and half a surrogate pair, as every Llama tokenizer does', () => {
    expect(tokenizer.decode(tokenizer.encode('a\u2581b'))).toBe('a b');
    expect(tokenizer.decode(tokenizer.encode('a\uD83Db'))).toBe('a\uFFFDb');
  });

  it('has ids as the reference library gives them', () => {
    // tokenizers 0.23.2, Tokenizer.from_file.
    expect(tokenizer).toMatchObject({ vocabSize: 2048, bosId: 1, eosId: 2, padId: null });
    const expected: [string, number[]][] = [
      ['', [1]],
      [' ', [1, 359]],
      ['  a', [1, 359, 371]],
      ['\t', [1, 357, 259]],
      [' \n', [1, 359, 260]],
      ['hi<s> x', [1, 501, 333, 1, 359, 348]],
      ['é漢😀', [1, 357, 198, 172, 233, 191, 165, 243, 162, 155, 131]],
    ];
    for (const [text, ids] of expected) expect(tokenizer.encode(text), text).toEqual(ids);
  });

  it('cuts a text in two anywhere, and the second part decodes as its continuation', () => {
    const text = 'def f(x):\n    if x:\n        return "é漢😀"\n\n\n';
    const ids = tokenizer.encode(text);
    for (let cut = 2; cut <= ids.length; cut++) {
      const head = tokenizer.decode(ids.slice(0, cut));
      const tail = tokenizer.decode(ids.slice(cut), { continuation: true });
      if (!head.includes('\uFFFD')) expect(head + tail).toBe(text);
    }
    const indented = tokenizer.encode('    return x', { bos: false });
    expect(tokenizer.decode(indented, { continuation: true })).toBe('     return x');
    expect(tokenizer.decode([], { continuation: true })).toBe('');
  });

  it('holds a character back until its last byte has come', () => {
    const ids = tokenizer.encode('é😀', { bos: false });
    expect(stream(tokenizer, ids)).toEqual(['', '', 'é', '', '', '', '😀', '']);
    expect(stream(tokenizer, ids.slice(0, -1))).toEqual(['', '', 'é', '', '', '', '\uFFFD']);
    const interrupted = [...ids.slice(0, 2), 2, ids[2]];
    expect(stream(tokenizer, interrupted, { skipSpecial: false }).join('')).toBe('\uFFFD</s>\uFFFD');
  });

  it('begins a text as tokenizer_config.json says', () => {
    const dir = directory({});
    cpSync(join(micro, 'tokenizer.json'), join(dir, 'tokenizer.json'));
    const config = { bos_token: '<s>', eos_token: '</s>', pad_token: '<unk>', add_bos_token: false };
    writeFileSync(join(dir, 'tokenizer_config.json'), JSON.stringify(config));
    const bare = openTokenizer(dir);
    expect(bare.padId).toBe(0);
    expect(bare.encode('a')).toEqual([371]);
    expect(bare.encode('a', { bos: true })).toEqual([1, 371]);
  });

  it('in the form in which transformers 5 saves it, loses but one leading space', () => {
    const json = JSON.parse(readFileSync(join(micro, 'tokenizer.json'), 'utf8'));
    const saved = openTokenizer(
      directory({
        'tokenizer.json': {
          ...json,
          normalizer: null,
          pre_tokenizer: { type: 'Metaspace', replacement: '\u2581', prepend_scheme: 'first', split: false },
        },
        'tokenizer_config.json': { bos_token: '<s>', eos_token: '</s>', add_bos_token: true },
      }),
    );
    expect(saved.encode('  a')).toEqual([1, 359, 325]);
    expect(saved.encode('hi<s> x')).toEqual([1, 501, 333, 1, 759]);
    expect(saved.decode(saved.encode('hi<s> x'), { skipSpecial: false })).toBe('<s>hi<s> x');
    const spared = anyText.map((text) => text.replaceAll('\u2581', '_').replace(/^ +/, ''));
    fc.assert(
      fc.property(spared, (text) => checkRoundTrip(saved, text)),
      { numRuns: 300 },
    );
    expect(saved.decode(saved.encode('  a'))).toBe(' a');
  });

  describeShared('data/mbpp.jsonl', 'of MBPP', () => {
    it('gives all code and texts back', () => {
      const rows = readFileSync(shared('data/mbpp.jsonl'), 'utf8').trim().split('\n');
      expect(rows.length).toBeGreaterThan(900);
      for (const row of rows) {
        const { text, code } = JSON.parse(row) as { text: string; code: string };
        for (const part of [text, code, code.replaceAll('\r\n', '\n')]) checkRoundTrip(tokenizer, part);
      }
    });
  });
});
