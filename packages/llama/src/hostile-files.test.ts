import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { DataError } from '@flex/base';
import { openWasm, scope, tensor } from '@flex/tensor';
import { afterAll, describe, expect, test } from 'vitest';
import { forward, loadModel, logits } from './model.ts';
import { writeTinyModel } from './testing/tiny-model.ts';
import { openTokenizer } from './tokenizer/open-tokenizer.ts';

const isLong = process.env.FLEX_LONG_TESTS === '1';
/** Of each file: all its truncations or so many, and so many changed bytes. */
const [truncations, flips] = isLong ? [Number.POSITIVE_INFINITY, 1000] : [40, 40];

const timeout = isLong ? 300_000 : 20_000;

const dir = mkdtempSync(join(tmpdir(), 'flex-hostile-'));
afterAll(() => rmSync(dir, { recursive: true }));

/** Numbers below 2³², the same in every run: Marsaglia's xorshift. */
function newRandom(): (below: number) => number {
  let state = 2463534242;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** A file cut off, and with a byte that is another: every other time in one bit. */
function* damaged(bytes: Buffer, header: number): Generator<{ how: string; damagedBytes: Buffer }> {
  const random = newRandom();
  const cuts = Math.min(truncations, header);
  for (let i = 0; i < cuts; i++) {
    const length = cuts === header ? i : random(header);
    yield { how: `cut to ${length} bytes`, damagedBytes: bytes.subarray(0, length) };
  }
  for (let i = 0; i < flips; i++) {
    const at = random(header);
    const change = i % 2 === 0 ? 1 << random(8) : 1 + random(255);
    const damagedBytes = Buffer.from(bytes);
    damagedBytes[at] ^= change;
    yield { how: `byte ${at} changed by ${change}`, damagedBytes };
  }
}

/** What is made of the files; or of a refusal, which must be one line that names the folder, nothing. */
async function orRefused<T>(how: string, make: () => T | Promise<T>): Promise<T | undefined> {
  try {
    return await make();
  } catch (error) {
    expect(error, how).toBeInstanceOf(DataError);
    const { message } = error as DataError;
    expect(message.startsWith(dir), `${how}: ${message}`).toBe(true);
    expect(message, how).not.toMatch(/[\p{Cc}\u2028\u2029]/u);
    expect(message.length, how).toBeLessThan(500);
    return undefined;
  }
}

/** All keys of a JSON value but the tokens': none of them may be lost without a word. */
const keysOf = (value: unknown): unknown =>
  typeof value === 'object' && value !== null
    ? Object.entries(value).map(([key, each]) => [
        key,
        key === 'vocab' || key === 'special_tokens' ? null : keysOf(each),
      ])
    : null;

describe('a model with a damaged', () => {
  const backend = openWasm();
  const run = async () => {
    const model = await loadModel(backend, dir, { dtype: 'f32' });
    const rows = scope(() =>
      logits(model, forward(model, tensor(backend, Int32Array.of(1, 2, 3), [1, 3], 'i32'))),
    );
    const values = [...(await rows.data())];
    rows.dispose();
    model.dispose();
    return { values, warnings: model.warnings };
  };
  const keys = {
    ...{ num_key_value_heads: 2, head_dim: 4, tie_word_embeddings: false, hidden_act: 'silu' },
    ...{ rms_norm_eps: 1e-5, bos_token_id: 1, attention_bias: false, mlp_bias: false },
    ...{ rope_theta: 5000, torch_dtype: 'float32', quantization_config: null },
    rope_scaling: {
      ...{ rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4 },
      original_max_position_embeddings: 8,
    },
  };
  const write = () => writeTinyModel(dir, keys);

  test('safetensors header is refused in one line, or has the same numbers', { timeout }, async () => {
    write();
    const path = join(dir, 'model.safetensors');
    const bytes = readFileSync(path);
    const right = await run();
    const header = 8 + Number(bytes.readBigUInt64LE());
    const kept = [];
    for (const { how, damagedBytes } of damaged(bytes, header)) {
      writeFileSync(path, damagedBytes);
      const found = await orRefused(how, run);
      if (found) {
        expect(found, how).toEqual(right);
        kept.push(how);
      }
    }
    expect(kept.length).toBeLessThan(flips / 4);
  });

  test('config.json is refused in one line, or has the numbers that it says', { timeout }, async () => {
    write();
    const path = join(dir, 'config.json');
    const bytes = readFileSync(path);
    const config = JSON.parse(bytes.toString());
    const right = await run();
    for (const { how, damagedBytes } of damaged(bytes, bytes.length)) {
      writeFileSync(path, damagedBytes);
      const found = await orRefused(how, run);
      if (!found) continue;
      const read = JSON.parse(damagedBytes.toString());
      expect(keysOf(read), how).toEqual(keysOf(config));
      if (isDeepStrictEqual(read, config)) expect(found, how).toEqual(right);
    }
  });
});

describe.each(['byte-level', 'byte fallback'])('a tokenizer (%s) with a damaged', (kind) => {
  const text = 'def  f(a):\n\treturn "é→𝄞ab" # <s>';
  const run = () => {
    const tokenizer = openTokenizer(dir);
    const ids = tokenizer.encode(text);
    return { ids, text: tokenizer.decode(ids), vocabSize: tokenizer.vocabSize };
  };

  test.each(['tokenizer.json', 'tokenizer_config.json'])('%s', { timeout }, async (name) => {
    writeTokenizer(kind);
    const path = join(dir, name);
    const bytes = readFileSync(path);
    const right = run();
    for (const { how, damagedBytes } of damaged(bytes, bytes.length)) {
      writeFileSync(path, damagedBytes);
      const begun = performance.now();
      const found = await orRefused(how, run);
      expect(performance.now() - begun, how).toBeLessThan(2000);
      if (!found) continue;
      expect(
        found.ids.every((id) => Number.isInteger(id) && id >= 0 && id < found.vocabSize),
        how,
      ).toBe(true);
      const [read, whole] = [damagedBytes, bytes].map((each) => JSON.parse(each.toString()));
      expect(keysOf(read), how).toEqual(keysOf(whole));
      if (isDeepStrictEqual(read, whole)) expect(found, how).toEqual(right);
    }
  });
});

function writeTokenizer(kind: string): void {
  const isBytes = kind === 'byte-level';
  const alphabet = Array.from({ length: 256 }, (_, byte) =>
    isBytes ? byteName(byte) : `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
  );
  const letters = isBytes ? [] : ['▁', ...'abcdefnrtu():"#'];
  const merges = [...(isBytes ? [['Ġ', 'a']] : [['▁', 'a']]), ['a', 'b'], ['d', 'e'], ['de', 'f']];
  const tokens = ['<s>', '</s>', ...alphabet, ...letters, ...merges.map((pair) => pair.join(''))];
  const added = (content: string, id: number) => ({
    ...{ id, content, special: true, normalized: false, single_word: false, lstrip: false, rstrip: false },
  });
  const json = {
    added_tokens: ['<s>', '</s>'].map(added),
    normalizer: isBytes
      ? null
      : {
          type: 'Sequence',
          normalizers: [
            { type: 'Prepend', prepend: '▁' },
            { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
          ],
        },
    pre_tokenizer: isBytes
      ? {
          type: 'Sequence',
          pretokenizers: [
            {
              type: 'Split',
              pattern: { Regex: '\\s+(?!\\S)|\\s?\\S+|\\s+' },
              behavior: 'Isolated',
              invert: false,
            },
            { type: 'ByteLevel', add_prefix_space: false, use_regex: false },
          ],
        }
      : null,
    post_processor: {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      special_tokens: { '<s>': { id: '<s>', ids: [0], tokens: ['<s>'] } },
    },
    decoder: isBytes
      ? { type: 'ByteLevel' }
      : {
          type: 'Sequence',
          decoders: [{ type: 'Replace', pattern: { String: '▁' }, content: ' ' }, { type: 'ByteFallback' }],
        },
    model: {
      type: 'BPE',
      ...{ unk_token: null, byte_fallback: !isBytes, fuse_unk: false, ignore_merges: false },
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
    },
  };
  writeFileSync(join(dir, 'tokenizer.json'), JSON.stringify(json));
  const config = { bos_token: '<s>', eos_token: '</s>', add_bos_token: true, legacy: false };
  writeFileSync(join(dir, 'tokenizer_config.json'), JSON.stringify(config));
}

/** The character that stands for a byte in GPT-2's vocabularies. */
function byteName(byte: number): string {
  const isPrinted = (code: number) => (code > 32 && code < 127) || (code > 160 && code !== 173);
  if (isPrinted(byte)) return String.fromCharCode(byte);
  const before = Array.from({ length: byte }, (_, code) => code).filter((code) => !isPrinted(code));
  return String.fromCharCode(256 + before.length);
}
