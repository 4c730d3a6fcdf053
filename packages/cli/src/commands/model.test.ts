import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { temporaryFolder } from '@flex/base/testing';
import { decodingMemory, openCheckpoint } from '@flex/llama';
import { shapeModel } from '@flex/llama/testing';
import { openCounting } from '@flex/tensor';
import { toFloat32, writeSafetensors } from '@flex/tensor/safetensors';
import { leastTrainingMemory } from '@flex/train';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { modelMemory } from '../model-memory.ts';
import { flex } from '../testing/flex.ts';

const micro = join(import.meta.dirname, '../../assets/micro');
const cpu = ['--device', 'cpu', '--threads', '1'];

/** Shapes of what people have, and how many parameters their publishers tell. */
const families = {
  'Code Llama 7B': {
    ...{ model_type: 'llama', hidden_size: 4096, intermediate_size: 11008, vocab_size: 32016 },
    ...{ num_hidden_layers: 32, num_attention_heads: 32, max_position_embeddings: 16384 },
    parameters: 6_738_546_688,
  },
  'Qwen2.5-Coder 7B': {
    ...{ model_type: 'qwen2', hidden_size: 3584, intermediate_size: 18944, vocab_size: 152064 },
    ...{ num_hidden_layers: 28, num_attention_heads: 28, num_key_value_heads: 4 },
    parameters: 7_615_616_512,
  },
  'Mistral 7B': {
    ...{ model_type: 'mistral', hidden_size: 4096, intermediate_size: 14336, vocab_size: 32000 },
    ...{ num_hidden_layers: 32, num_attention_heads: 32, num_key_value_heads: 8 },
    parameters: 7_241_732_096,
  },
  'Qwen3 8B': {
    ...{ model_type: 'qwen3', hidden_size: 4096, intermediate_size: 12288, vocab_size: 151936 },
    ...{ num_hidden_layers: 36, num_attention_heads: 32, num_key_value_heads: 8, head_dim: 128 },
    parameters: 8_190_735_360,
  },
  'StarCoder2 7B': {
    ...{ model_type: 'starcoder2', hidden_size: 4608, intermediate_size: 18432, vocab_size: 49152 },
    ...{ num_hidden_layers: 32, num_attention_heads: 36, num_key_value_heads: 4 },
    parameters: 7_173_923_840,
  },
  'Gemma 7B': {
    ...{ model_type: 'gemma', hidden_size: 3072, intermediate_size: 24576, vocab_size: 256000 },
    ...{ num_hidden_layers: 28, num_attention_heads: 16, num_key_value_heads: 16, head_dim: 256 },
    parameters: 8_537_680_896,
  },
};

// Modules are loaded once.
beforeAll(async () => void (await flex('model', 'inspect', micro, '--tokens', '8', ...cpu)));

test.each(Object.entries(families))(
  'a directory of the shape of %s is inspected and planned, and nothing of it loaded',
  async (_, { parameters, ...config }) => {
    const dir = join(temporaryFolder(), 'model');
    shapeModel(dir, config);
    const begin = process.cpuUsage();
    const { code, stdout } = await flex('model', 'inspect', dir, '--json', '--memory', '6GiB', ...cpu);
    const { user, system } = process.cpuUsage(begin);
    expect(code).toBe(0);
    const { memory, ...found } = JSON.parse(stdout);
    expect(found).toMatchObject({ parameters, config: { modelType: config.model_type }, tokenizer: null });
    const [f16, int8, nf4] = memory.storages;
    expect([f16, int8, nf4].map(({ storage }) => storage)).toEqual(['f16', 'int8', 'nf4']);
    expect(f16.fits).toEqual({ decode: false, train: false });
    for (const key of ['weights', 'decode', 'train']) {
      expect(f16[key]).toBeGreaterThan(int8[key]);
      expect(int8[key]).toBeGreaterThan(nf4[key]);
      expect(nf4[key]).toBeGreaterThan(0.5 * parameters);
    }
    // Less than a second where nothing else runs; where much does, the same work takes a multiple of that.
    expect((user + system) / 1e6).toBeLessThan(5);
  },
);

test('what would not fit is refused before anything is loaded', async () => {
  const dir = join(temporaryFolder(), 'model');
  shapeModel(dir, families['Code Llama 7B']);
  const refused = await flex('generate', '--model', dir, '--ids', '1', ...cpu);
  expect(refused).toMatchObject({ code: 2, stdout: '' });
  expect(refused.stderr).toMatch(/memory: decoding takes 1\d\.\d GiB/);
});

test('what is not weights takes the same memory however these are stored', async () => {
  const { counted } = openCounting();
  const { storages } = await modelMemory({ counted, memory: async () => null }, micro, 64);
  const texts = { rows: 1, prompt: 64, length: 64 };
  for (const { storage, fits, ...bytes } of storages) {
    const quantize = storage === 'f16' ? undefined : storage;
    const stored = { dtype: 'f16', quantize } as const;
    const { peak: train } = await leastTrainingMemory(counted, micro, stored, 64);
    const { peak: decode, weights } = await decodingMemory(counted, micro, stored, texts);
    expect([storage, bytes, fits]).toEqual([storage, { weights, decode, train }, null]);
  }
});

test('inspect tells what the files are, for people and for programs', async () => {
  const { code, stdout } = await flex('model', 'inspect', micro, ...cpu);
  expect(code).toBe(0);
  expect(stdout).toMatch(/parameters +│ 1,730,176 \(1\.7 M\)/);
  expect(stdout).toMatch(/weights +│ 57 tensors of F16, 3 MiB/);
  expect(stdout).toMatch(/tokenizer +│ tokenizer\.json, BPE, 2048 tokens/);
  const json = JSON.parse((await flex('model', 'inspect', micro, '--json', '--tokens', '64', ...cpu)).stdout);
  expect(json).toMatchObject({
    parameters: 1_730_176,
    files: [{ name: 'model.safetensors' }],
    stored: { F16: { tensors: 57 } },
    tokenizer: { file: 'tokenizer.json', model: 'BPE', tokens: 2048, hasChatTemplate: false },
    memory: { tokens: 64, available: { bytes: 2 ** 32 } },
  });
});

test('a name that is none, and weights that do not fit config.json, are refused in a line', async () => {
  const missing = await flex('model', 'inspect', join(micro, 'none'), ...cpu);
  expect(missing).toMatchObject({ code: 2, stdout: '' });
  expect(missing.stderr).toMatch(/none: no such directory/);
  expect((await flex('model', 'check', join(micro, 'none'))).code).toBe(2);
  const dir = copied({ 'config.json': withKeys({ vocab_size: 2050 }) });
  const other = await flex('model', 'inspect', dir, ...cpu);
  expect(other).toMatchObject({ code: 2, stdout: '' });
  expect(other.stderr).toMatch(/embed_tokens.weight" is \[2048, 128\]/);
});

/** A copy of the micro model, with some files changed. */
function copied(changes: Readonly<Record<string, (bytes: Buffer) => Buffer | string>> = {}): string {
  const dir = join(temporaryFolder(), 'model');
  mkdirSync(dir);
  for (const name of readdirSync(micro)) {
    const change = changes[name];
    if (change) writeFileSync(join(dir, name), change(readFileSync(join(micro, name))));
    else copyFileSync(join(micro, name), join(dir, name));
  }
  return dir;
}

/** config.json with other keys. */
const withKeys = (keys: object) => (bytes: Buffer) =>
  JSON.stringify({ ...JSON.parse(bytes.toString()), ...keys });

describe('check', () => {
  test('finds nothing wrong with a whole model', async () => {
    const { code, stdout } = await flex('model', 'check', micro, '--json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      files: 1,
      tensors: 57,
      digests: 0,
      numbers: null,
      problems: [],
    });
  });

  test.each([
    ['a file that is cut off', { 'model.safetensors': (b: Buffer) => b.subarray(0, -7) }, [/cut off/]],
    [
      'a key of config.json',
      { 'config.json': withKeys({ num_attention_heads: 'four' }) },
      [/attention_heads/],
    ],
    [
      'every shape that config.json makes another',
      { 'config.json': withKeys({ vocab_size: 2050 }) },
      [/embed_tokens.weight" is \[2048, 128\]/, /lm_head.weight" is \[2048, 128\]/],
    ],
    [
      'a layer that is not there',
      { 'config.json': withKeys({ num_hidden_layers: 7 }) },
      Array(9).fill(/no tensor "model.layers.6/),
    ],
    [
      'a tokenizer and a header at once',
      { 'tokenizer.json': () => '{', 'model.safetensors': () => 'no header' },
      [/model.safetensors/, /tokenizer.json/],
    ],
  ])('tells of %s', async (_, changes, lines) => {
    const dir = copied(changes as never);
    const { code, stdout } = await flex('model', 'check', dir, '--json');
    const { problems } = JSON.parse(stdout);
    expect(problems).toEqual(lines.map((line) => expect.stringMatching(line)));
    expect(code).toBe(1);
  });

  test('--numbers names the tensors with numbers that are not finite, which are not looked at without it', async () => {
    const dir = copied();
    const file = join(dir, 'model.safetensors');
    const checkpoint = openCheckpoint(dir);
    const tensors = checkpoint.names().map((name) => {
      const { dtype, shape } = checkpoint.spec(name);
      const values = toFloat32(dtype, Buffer.concat([...checkpoint.readChunks(name, 1 << 20)]));
      if (name === 'model.norm.weight') values.set([Number.NaN, Number.NEGATIVE_INFINITY], 3);
      return [name, { dtype: 'F32', shape, data: values }] as const;
    });
    checkpoint.close();
    writeSafetensors(file, new Map(tensors));
    expect((await flex('model', 'check', dir)).code).toBe(0);
    const { code, stdout } = await flex('model', 'check', dir, '--numbers', '--json');
    expect(code).toBe(1);
    expect(JSON.parse(stdout).problems).toEqual([
      `${dir}: tensor "model.norm.weight" has 2 numbers that are not finite`,
    ]);
  });

  test('compares the digests of what lies in the cache of the hub, large files and small ones', async () => {
    const cache = temporaryFolder();
    const folder = join(cache, 'models--org--micro');
    const commit = 'a'.repeat(40);
    const template = 'additional_chat_templates/tools.jinja';
    for (const inner of ['blobs', 'refs', `snapshots/${commit}/${dirname(template)}`])
      mkdirSync(join(folder, inner), { recursive: true });
    writeFileSync(join(folder, 'refs/main'), commit);
    const blobs = new Map<string, string>();
    for (const name of [...readdirSync(micro), template]) {
      const bytes = name === template ? Buffer.from('{{ messages }}') : readFileSync(join(micro, name));
      const hash = name.endsWith('.safetensors')
        ? createHash('sha256')
        : createHash('sha1').update(`blob ${bytes.length}\0`);
      const blob = hash.update(bytes).digest('hex');
      blobs.set(name, join(folder, 'blobs', blob));
      writeFileSync(join(folder, 'blobs', blob), bytes);
      symlinkSync(join(folder, 'blobs', blob), join(folder, 'snapshots', commit, name));
    }
    vi.stubEnv('HF_HUB_CACHE', cache);
    try {
      const whole = JSON.parse((await flex('model', 'check', 'org/micro', '--json')).stdout);
      expect(whole).toMatchObject({ digests: blobs.size, problems: [] });
      for (const name of ['model.safetensors', 'tokenizer_config.json', template]) {
        const path = blobs.get(name)!;
        const bytes = readFileSync(path);
        const last = bytes.length - (name === 'model.safetensors' ? 1 : 3);
        writeFileSync(path, bytes.with(last, bytes[last] ^ 1));
      }
      const snapshot = join(folder, 'snapshots', commit);
      symlinkSync('../../blobs/none', join(snapshot, 'special_tokens_map.json'));
      const { code, stdout } = await flex('model', 'check', snapshot, '--json');
      const { digests, problems } = JSON.parse(stdout);
      expect([code, digests]).toEqual([1, blobs.size - 3]);
      expect(problems.filter((line: string) => / is damaged: its digest is /.test(line))).toHaveLength(3);
      expect(problems).toContain(`${snapshot}/special_tokens_map.json: is a link that leads to no file`);
    } finally {
      vi.unstubAllEnvs();
    }
  });
});
