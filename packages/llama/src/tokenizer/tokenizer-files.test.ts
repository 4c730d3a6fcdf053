import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DataError } from '@flex/base';
import { afterAll, describe, expect, it } from 'vitest';
import { openInfill } from './infill.ts';
import { openTokenizer } from './open-tokenizer.ts';
import { newUnigram } from './unigram.ts';

const cases = join(import.meta.dirname, '../../../../fixtures/tokenizers');
const root = mkdtempSync(join(tmpdir(), 'flex-tokenizer-files-'));
afterAll(() => rmSync(root, { recursive: true }));
let made = 0;

/** A copy of a tokenizer of fixtures/tokenizers, with other files beside it. */
function copyOf(name: string, files: Record<string, unknown> = {}): string {
  const dir = join(root, `${name}-${made++}`);
  mkdirSync(dir);
  cpSync(join(cases, name), dir, { recursive: true });
  for (const [file, content] of Object.entries(files))
    writeFileSync(join(dir, file), JSON.stringify(content));
  return dir;
}

/** tokenizer.json of a tokenizer of fixtures/tokenizers, changed. */
function changed(name: string, change: (json: Json) => void): string {
  const json = JSON.parse(readFileSync(join(cases, name, 'tokenizer.json'), 'utf8'));
  change(json);
  return copyOf(name, { 'tokenizer.json': json });
}
// biome-ignore lint/suspicious/noExplicitAny: a test breaks it in every way.
type Json = any;

describe('what stands beside a tokenizer', () => {
  it('adds tokens to it, at their ids and with their flags', () => {
    const dir = copyOf('qwen-2-files', {
      'tokenizer_config.json': {
        tokenizer_class: 'Qwen2Tokenizer',
        eos_token: '<|im_end|>',
        added_tokens_decoder: {
          500: { content: '<|im_end|>', special: true, lstrip: true },
          501: { content: '<tool>', special: false, rstrip: true },
        },
      },
      'added_tokens.json': { '<|im_end|>': 500, '<old>': 502 },
      'special_tokens_map.json': { pad_token: { content: '<old>' } },
    });
    const tokenizer = openTokenizer(dir);
    expect(tokenizer).toMatchObject({ vocabSize: 503, bosId: null, eosId: 500, padId: 502 });
    const [a] = tokenizer.encode('a');
    expect(tokenizer.encode('a \n<|im_end|>a<tool>  a<old>')).toEqual([a, 500, a, 501, a, 502]);
    expect(tokenizer.decode([a, 500, 501])).toBe('a<tool>');
    expect(Buffer.from(tokenizer.bytesOf(500) as Uint8Array).toString()).toBe('<|im_end|>');
    expect(tokenizer.bytesOf(499)).toBeUndefined();
    expect(tokenizer.idOf('<tool>')).toBe(501);
  });

  it('makes a token special that it names', () => {
    const config = { eos_token: 'ing', bos_token: '<|begin|>' };
    const tokenizer = openTokenizer(copyOf('llama-3', { 'tokenizer_config.json': config }));
    const eos = tokenizer.eosId as number;
    expect(tokenizer.encode('qingq', { bos: false })[1]).toBe(eos);
    expect(tokenizer.decode([eos])).toBe('');
    // The template of its file begins a text.
    expect(tokenizer.encode('')).toEqual([tokenizer.bosId]);
  });

  it('may not contradict it', () => {
    const config = { tokenizer_class: 'Qwen2Tokenizer', added_tokens_decoder: { 7: { content: '</s>' } } };
    const dir = copyOf('qwen-2-files', { 'tokenizer_config.json': config });
    const message = 'tokenizer_config.json: </s> has id 7, and in vocab.json 1';
    expect(() => openTokenizer(dir)).toThrow(new DataError(join(dir, message)));
    const unknown = copyOf('qwen-2-files', { 'tokenizer_config.json': { tokenizer_class: 'BertTokenizer' } });
    expect(() => openTokenizer(unknown)).toThrow(/vocab.json: how a BertTokenizer splits texts is not known/);
  });
});

describe("SentencePiece's tokenizer.model", () => {
  const tokenizer = openTokenizer(join(cases, 'sp-bpe'));

  it('names its tokens itself, and begins a text', () => {
    expect(tokenizer).toMatchObject({ bosId: 1, eosId: 2, padId: null });
    expect(tokenizer.encode('return x')[0]).toBe(1);
    const config = { add_bos_token: false, pad_token: '<unk>', legacy: true };
    const other = openTokenizer(copyOf('sp-bpe', { 'tokenizer_config.json': config }));
    expect(other.encode('x')).toEqual(tokenizer.encode('x').slice(1));
    expect(other.padId).toBe(0);
  });

  it('puts a space in front of a text, and behind special tokens if it is as old as that', () => {
    const legacy = openTokenizer(copyOf('sp-bpe', { 'tokenizer_config.json': { legacy: true } }));
    for (const each of [tokenizer, legacy]) {
      for (const text of ['x</s>x', '  x</s>  x', '</s>', 'x </s> \n']) {
        expect(each.decode(each.encode(text, { bos: false }), { skipSpecial: false })).toBe(text);
      }
    }
    const word = (each: typeof tokenizer) => each.encode('</s>x', { bos: false }).slice(1);
    expect(word(legacy)).toEqual(tokenizer.encode('x', { bos: false }));
    expect(word(tokenizer)).toEqual(tokenizer.encode('x', { continuation: true }));
    expect(word(tokenizer)).not.toEqual(word(legacy));
  });

  it('cut off anywhere, or with a byte changed, is refused in one line, or opens', () => {
    const bytes = readFileSync(join(cases, 'sp-bpe/tokenizer.model'));
    const dir = copyOf('sp-bpe');
    const path = join(dir, 'tokenizer.model');
    let refused = 0;
    const check = (content: Buffer): void => {
      writeFileSync(path, content);
      try {
        openTokenizer(dir).encode('def f(x):\n    return 1');
      } catch (error) {
        expect(error).toBeInstanceOf(DataError);
        expect((error as Error).message).toMatch(/^[^\n]*tokenizer\.model: [^\n]+$/);
        refused++;
      }
    };
    for (let i = 0; i < 60; i++) {
      check(bytes.subarray(0, (i * 7919) % bytes.length));
      const flipped = Buffer.from(bytes);
      flipped[(i * 104729) % bytes.length] ^= 1 << (i % 8);
      check(flipped);
    }
    expect(refused).toBeGreaterThan(50);
  });
});

describe('tokenizer.json', () => {
  it.each<[string, (json: Json) => void, RegExp]>([
    [
      'a merge of no tokens',
      ({ model }) => model.merges.push(['a', 'ZZ']),
      /merge \d+ needs "ZZ", which is not/,
    ],
    [
      'a merge of three',
      ({ model }) => model.merges.push('a b c'),
      /merge \d+ must be two tokens; it is "a b c"/,
    ],
    [
      'one id for two',
      ({ model }) => Object.assign(model.vocab, { other: 5 }),
      /"[^ ]+" and "other" have one id, 5/,
    ],
    [
      'an id that is none',
      ({ model }) => Object.assign(model.vocab, { other: 1.5 }),
      /"other" must be a whole number/,
    ],
    ['dropout', ({ model }) => Object.assign(model, { dropout: 0.1 }), /"model.dropout" is 0.1; only null/],
    [
      'another model',
      ({ model }) => Object.assign(model, { type: 'WordPiece' }),
      /type WordPiece is not supported/,
    ],
    [
      'a normalizer',
      (json) => Object.assign(json, { normalizer: { type: 'BertNormalizer' } }),
      /type BertNormalizer/,
    ],
    [
      'no list',
      (json) => Object.assign(json, { normalizer: { type: 'Sequence' } }),
      /Sequence without its parts/,
    ],
    [
      'no type',
      (json) => Object.assign(json, { normalizer: {} }),
      /"normalizer.type" is wrong: must be a text/,
    ],
    [
      'no pattern',
      (json) => Object.assign(json, { normalizer: { type: 'Replace' } }),
      /Replace without its pattern/,
    ],
    [
      'a pre-tokenizer',
      (json) => Object.assign(json.pre_tokenizer.pretokenizers[0], { behavior: 'Other' }),
      /Split with/,
    ],
    [
      'a pattern',
      (json) => Object.assign(json.pre_tokenizer.pretokenizers[0].pattern, { Regex: '(' }),
      /Unterminated group/,
    ],
  ])('with %s is refused', (_, change, message) => {
    expect(() => openTokenizer(changed('llama-3', change))).toThrow(DataError);
    expect(() => openTokenizer(changed('llama-3', change))).toThrow(message);
  });

  it('of a unigram model needs its unknown token', () => {
    const without = changed('unigram', ({ model }) => Object.assign(model, { unk_id: null }));
    expect(() => openTokenizer(without)).toThrow(/"model.unk_id" must be one of the \d+ tokens/);
  });
});

describe('a unigram model', () => {
  const ids = new Map(['?', 'a', 'b', 'ab', 'bc', '<0xC3>', '<0xA9>'].map((name, id) => [name, id]));
  const scores: [string, number][] = [
    ['a', -1],
    ['b', -1],
    ['ab', -2],
    ['bc', -1.5],
  ];

  it('takes the likeliest way, of equal ones that whose last token begins first', () => {
    const { encode } = newUnigram({ ids, scores, unknown: 0 });
    expect(encode('ab')).toEqual([3]);
    expect(encode('abc')).toEqual([1, 4]);
    expect(encode('bba')).toEqual([2, 2, 1]);
  });

  it('has one unknown token for what no token covers, or its bytes', () => {
    expect(newUnigram({ ids, scores, unknown: 0 }).encode('aéxb')).toEqual([1, 0, 2]);
    const { encode } = newUnigram({ ids, scores, unknown: 0, byteFallback: true });
    expect(encode('aéb')).toEqual([1, 5, 6, 2]);
    expect(encode('x')).toEqual([0]);
  });
});

describe('a prompt for infilling', () => {
  const added = (contents: readonly string[]) =>
    Object.fromEntries(contents.map((content, i) => [700 + i, { content, special: true }]));

  it('is written as Code Llama was trained: the prefix begins as a text does, the suffix does not', () => {
    const tokenizer = openTokenizer(
      copyOf('sp-bpe', {
        'tokenizer_config.json': { added_tokens_decoder: added(['▁<PRE>', '▁<SUF>', '▁<MID>', '▁<EOT>']) },
      }),
    );
    const infill = openInfill(tokenizer);
    const before = tokenizer.encode('def f(', { bos: false });
    const after = tokenizer.encode('):\n', { continuation: true });
    expect(infill.prompt('def f(', '):\n')).toEqual([1, 700, ...before, 701, ...after, 702]);
    expect(tokenizer.decode(infill.prompt('def f(', '):\n').slice(2))).toBe(' def f():\n'.slice(1));
    expect(new Set(infill.endIds)).toEqual(new Set([2, 700, 701, 702, 703]));
  });

  it.each([
    ['Qwen', ['<|fim_prefix|>', '<|fim_suffix|>', '<|fim_middle|>', '<|fim_pad|>', '<|file_sep|>']],
    ['StarCoder', ['<fim_prefix>', '<fim_suffix>', '<fim_middle>', '<file_sep>']],
    ['DeepSeek-Coder', ['<｜fim▁begin｜>', '<｜fim▁hole｜>', '<｜fim▁end｜>', '<|EOT|>']],
  ])('has the tokens of %s where these are there', (_, names) => {
    const tokenizer = openTokenizer(
      copyOf('deepseek', {
        'tokenizer_config.json': {
          bos_token: '<s>',
          eos_token: '</s>',
          add_bos_token: true,
          added_tokens_decoder: added(names),
        },
      }),
    );
    const infill = openInfill(tokenizer);
    const [before, after] = ['  a', 'b '].map((text) => tokenizer.encode(text, { bos: false }));
    const begin = tokenizer.bosId as number;
    expect(infill.prompt('  a', 'b ')).toEqual([begin, 700, ...before, 701, ...after, 702]);
    expect(infill.endIds).toEqual(expect.arrayContaining([tokenizer.eosId, ...names.map((_, i) => 700 + i)]));
  });

  it('is refused by a tokenizer that has no tokens for it', () => {
    expect(() => openInfill(openTokenizer(join(cases, 'qwen-2')))).toThrow(/no tokens for infilling/);
  });
});
