import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mapTree } from '@flex/autograd';
import { ConfigError, DataError } from '@flex/base';
import { describeShared, goldens, openGolden } from '@flex/fixtures';
import { openReference, size, type Tensor, tensor, uniform } from '@flex/tensor';
import {
  openSafetensors,
  type TensorToWrite,
  toBfloat16Bits,
  writeSafetensors,
} from '@flex/tensor/safetensors';
import fc from 'fast-check';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import type { Limits } from './adapted-modules.ts';
import { readAdapter, readAdapterTensors, writeAdapter } from './adapter-file.ts';
import { peftName } from './adapter-names.ts';
import { type AdapterPair, type Adapters, flattenAdapters, unflattenAdapters } from './adapters.ts';
import { initLora } from './init-lora.ts';
import { type LoraConfig, loraInits, rankOf, scaleOf } from './lora.ts';
import { type LinearSize, resolveTargets, type Targets } from './targets.ts';
import { llamaLinears } from './testing/llama-linears.ts';
import { wholeShapes } from './whole-weights.ts';

const root = mkdtempSync(join(tmpdir(), 'flex-adapter-'));
afterAll(() => rmSync(root, { recursive: true }));
const dir = join(root, 'adapter');
const weightsPath = join(dir, 'adapter_model.safetensors');
const configPath = join(dir, 'adapter_config.json');

const backend = openReference();
const linears = llamaLinears(3);
const model = { linears, weights: new Map() };
const config: LoraConfig = { rank: 8, alpha: 16, dropout: 0.05, targets: 'mlp', scaling: 'alpha/r' };
const fresh = (lora: LoraConfig = config) =>
  initLora(backend, lora, resolveTargets(lora.targets, linears), 1);

/** PEFT's name of a module's A or B. */
const adapterName = (path: string, side: 'A' | 'B') => peftName(`${path}.${side.toLowerCase()}`);
const up = 'model.layers.0.mlp.up_proj';
const down = 'model.layers.2.mlp.down_proj';

describe('writing', () => {
  beforeEach(() => rmSync(dir, { recursive: true, force: true }));

  it('reading gives back what was written, in the model’s order', async () => {
    const params = fresh();
    await writeAdapter(dir, params, config, { baseModel: 'org/name' });
    const read = readAdapter(backend, dir, model);
    expect([...read.params.keys()]).toEqual([...params.keys()]);
    const tensors = flattenAdapters(read.params);
    for (const [name, t] of flattenAdapters(params))
      expect(await tensors.get(name)?.data(), name).toEqual(await t.data());
    const { rank, alpha, dropout, scaling } = config;
    expect(read.config).toMatchObject({
      rank,
      alpha,
      dropout,
      scaling,
      targets: ['down_proj', 'gate_proj', 'up_proj'],
    });
    expect(read.baseModel).toBe('org/name');
    expect([...readAdapterTensors(backend, dir).params.keys()].sort()).toEqual([...params.keys()].sort());
  });

  it('an adapter that was read, taken apart, put together and written again is the same bytes', async () => {
    // Numbers that a detour over decimals or over f16 would lose: −0, the smallest, and all of f32's digits.
    const draw = (t: Tensor, phase: number) => {
      const numbers = Float32Array.from({ length: size(t.shape) }, (_, i) => Math.sin(1.7 * i + phase));
      numbers.set([-0, 2 ** -149, -(2 ** 127)]);
      return tensor(backend, numbers, t.shape);
    };
    const params = mapTree((t) => draw(t, t.shape[0]), fresh());
    await writeAdapter(dir, params, config);
    const [weights, text] = [weightsPath, configPath].map((path) => readFileSync(path));
    for (const read of [readAdapter(backend, dir, model), readAdapterTensors(backend, dir)]) {
      const again = unflattenAdapters(flattenAdapters(read.params));
      await writeAdapter(dir, again, { ...read.config, targets: config.targets });
      expect(readFileSync(weightsPath).equals(weights)).toBe(true);
      expect(readFileSync(configPath).equals(text)).toBe(true);
    }
  });

  it('a config of any options is read as it was written, with its tensors', async () => {
    const sizes = llamaLinears(3, 8, 12, 4, 16);
    const biases = [...sizes].filter(([path]) => /[qkv]_proj/.test(path));
    const weights = new Map(biases.map(([path, { out }]) => [`${path}.bias`, { shape: [out] }]));
    const small = { linears: sizes, weights };
    const names = fc.constantFrom('all-linear', 'mlp', '.*\\.[qv]_proj', ['*.[02].mlp.*'], ['o_proj', up]);
    const limits = fc.constantFrom<Limits[]>(
      {},
      { excludeModules: ['o_proj', 'layers.2.mlp.up_proj'] },
      { excludeModules: '.*layers\\.1\\..*' },
      { layersToTransform: [0, 1], layersPattern: 'layers' },
      { layersToTransform: 0 },
    );
    const options = fc.record({
      rank: fc.integer({ min: 1, max: 3 }),
      alpha: fc.integer({ min: 1, max: 64 }),
      dropout: fc.constantFrom(0, 0.05),
      scaling: fc.constantFrom('alpha/r' as const, 'alpha/sqrt(r)' as const),
      rankPattern: fc.constantFrom<Record<string, number>[]>({}, { 'layers.0.mlp.*': 5, q_proj: 4 }),
      alphaPattern: fc.constantFrom<Record<string, number>[]>({}, { '.*_proj': 0.5 }),
      vector: fc.constantFrom('none', 'dora', 'loraBias'),
      bias: fc.constantFrom('none' as const, 'all' as const, 'lora_only' as const),
      init: fc.constantFrom(...loraInits),
    });
    let seed = 0;
    const draw = (...shape: number[]) => tensor(backend, uniform(size(shape), { key: [seed++, 0] }), shape);
    await fc.assert(
      fc.asyncProperty(options, names, limits, async ({ vector, ...given }, targets, limit) => {
        fc.pre(typeof targets !== 'string' || !targets.startsWith('.') || !('layersToTransform' in limit));
        const lora: LoraConfig = {
          ...given,
          ...limit,
          targets,
          dora: vector === 'dora',
          loraBias: vector === 'loraBias',
        };
        const chosen = resolveTargets(targets, small.linears, limit);
        const pair = (path: string, { out, in: columns }: LinearSize): AdapterPair => {
          const r = rankOf(lora, path);
          const tensors = { a: draw(r, columns), b: draw(out, r) };
          if (vector === 'dora') return { ...tensors, magnitude: draw(out) };
          return vector === 'loraBias' ? { ...tensors, bias: draw(out) } : tensors;
        };
        const params: Adapters = new Map([...chosen].map(([path, linear]) => [path, pair(path, linear)]));
        const whole = new Map(
          [...wholeShapes(lora, weights, [...params.keys()])].map(([name, shape]) => [name, draw(...shape)]),
        );
        await writeAdapter(dir, params, lora, { whole });
        const read = readAdapter(backend, dir, small);
        expect([...read.whole.keys()]).toEqual([...whole.keys()]);
        for (const [name, t] of whole) expect(await read.whole.get(name)!.data()).toEqual(await t.data());
        const back = flattenAdapters(read.params);
        expect([...back.keys()]).toEqual([...flattenAdapters(params).keys()]);
        for (const [name, t] of flattenAdapters(params))
          expect(await back.get(name)!.data(), name).toEqual(await t.data());
        const { targets: _, excludeModules, layersToTransform, layersPattern, ...others } = lora;
        expect(read.config).toMatchObject(others);
        for (const path of params.keys()) expect(scaleOf(read.config, path)).toBe(scaleOf(lora, path));
        const files = [weightsPath, configPath].map((file) => readFileSync(file));
        await writeAdapter(dir, read.params, read.config, { whole: read.whole });
        expect([weightsPath, configPath].map((file) => readFileSync(file))).toEqual(files);
        expect(read.warnings).toHaveLength(Number(lora.bias !== 'none' && whole.size === 0));
      }),
      { numRuns: 60 },
    );
  });

  it('leaves the two files and nothing else, also over older ones', async () => {
    await writeAdapter(dir, fresh(), config);
    await writeAdapter(dir, fresh(), { ...config, alpha: 4 });
    expect(readdirSync(dir).sort()).toEqual(['adapter_config.json', 'adapter_model.safetensors']);
    expect(readAdapter(backend, dir, model).config.alpha).toBe(4);
  });

  it('names modules as PEFT does where that says which are meant, else their whole paths', async () => {
    const expected: [Targets, string[]][] = [
      ['attention', ['k_proj', 'o_proj', 'q_proj', 'v_proj']],
      ['all-linear', ['down_proj', 'gate_proj', 'k_proj', 'o_proj', 'q_proj', 'up_proj', 'v_proj']],
      [
        ['v_proj', 'layers.1.mlp.up_proj'],
        ['layers.1.mlp.up_proj', 'v_proj'],
      ],
      [['*.[02].mlp.up_proj'], [up, up.replace('0', '2')]],
    ];
    for (const [targets, modules] of expected) {
      const lora = { ...config, targets };
      await writeAdapter(dir, fresh(lora), lora);
      expect(JSON.parse(readFileSync(configPath, 'utf8')).target_modules).toEqual(modules);
      expect([...readAdapter(backend, dir, model).params.keys()]).toEqual([...fresh(lora).keys()]);
    }
  });

  it('keeps the scale in what PEFT computes as α/r or α/√r', async () => {
    await writeAdapter(dir, fresh(), { ...config, scaling: 'alpha' });
    expect(readAdapter(backend, dir, model).config).toMatchObject({ alpha: 128, scaling: 'alpha/r' });
    await writeAdapter(dir, fresh(), { ...config, scaling: 'alpha/sqrt(r)' });
    expect(JSON.parse(readFileSync(configPath, 'utf8'))).toMatchObject({ use_rslora: true, lora_alpha: 16 });
    expect(readAdapter(backend, dir, model).config.scaling).toBe('alpha/sqrt(r)');
  });

  it('keeps ranks and alphas of single modules', async () => {
    const lora: LoraConfig = {
      ...config,
      rankPattern: { 'layers.1.mlp.*': 4 },
      alphaPattern: { gate_proj: 2 },
    };
    await writeAdapter(dir, fresh(lora), lora);
    const read = readAdapter(backend, dir, model);
    expect(read.config).toMatchObject({ rankPattern: lora.rankPattern, alphaPattern: lora.alphaPattern });
    expect(read.params.get('model.layers.1.mlp.up_proj')?.a.shape).toEqual([4, 64]);
    await expect(writeAdapter(dir, fresh(lora), { ...lora, scaling: 'alpha' })).rejects.toThrow(ConfigError);
  });

  it('a place that cannot be written is a DataError', async () => {
    writeFileSync(dir, 'a file');
    await expect(writeAdapter(dir, fresh(), config)).rejects.toThrow(DataError);
  });
});

describeShared(goldens, 'adapters that PEFT wrote', () => {
  const golden = openGolden('gqa-f32');

  it('are read to the bit, and written again byte for byte with the same keys in the config', async () => {
    const { params, config: lora, baseModel } = readAdapter(backend, golden.path('adapter'), model);
    const expected = golden.tensors('adapter/adapter_model.safetensors');
    expect(2 * params.size).toBe(expected.size);
    for (const [name, t] of flattenAdapters(params))
      expect(Float32Array.from(await t.data())).toEqual(expected.get(peftName(name))?.data);
    expect(lora).toMatchObject({ rank: 8, alpha: 16, dropout: 0, scaling: 'alpha/r' });
    rmSync(dir, { recursive: true, force: true });
    await writeAdapter(dir, params, lora, { baseModel });
    expect(
      readFileSync(weightsPath).equals(readFileSync(golden.path('adapter/adapter_model.safetensors'))),
    ).toBe(true);
    const theirs = golden.json<object>('adapter/adapter_config.json');
    const ours = JSON.parse(readFileSync(configPath, 'utf8'));
    expect(ours).toEqual(theirs);
    expect(Object.keys(ours)).toEqual(Object.keys(theirs));
  });

  it('of other models are refused', () => {
    expect(() => readAdapter(backend, openGolden('mha-f16').path('adapter'), model)).toThrow(
      'adapter for another model',
    );
  });
});

describe('a config narrower than its tensors', () => {
  const modulesOf = (layers: number[], names: string[]) =>
    layers.flatMap((layer) => names.map((name) => `model.layers.${layer}.mlp.${name}_proj`));
  const mlp = ['gate', 'up', 'down'];

  // What PEFT 0.21 puts its adapter on, read off the model it makes of the same file.
  const edits: [Record<string, unknown>, string[]][] = [
    [{ target_modules: ['up_proj'] }, modulesOf([0, 1, 2], ['up'])],
    [{ target_modules: '.*\\.(up|down)_proj\\Z' }, modulesOf([0, 1, 2], ['up', 'down'])],
    [{ target_modules: '.*layers\\.[01].mlp.up_proj' }, modulesOf([0, 1], ['up'])],
    [{ layers_to_transform: [1] }, modulesOf([1], mlp)],
    [{ layers_to_transform: 1 }, modulesOf([1], mlp)],
    [{ layers_to_transform: [1], layers_pattern: ['h', 'layers'] }, modulesOf([1], mlp)],
    [
      { layers_to_transform: [1], target_modules: ['model.layers.0.mlp.up_proj', 'down_proj'] },
      [...modulesOf([0], ['up']), ...modulesOf([1], ['down'])],
    ],
    [{ exclude_modules: ['down_proj'] }, modulesOf([0, 1, 2], ['gate', 'up'])],
    [{ exclude_modules: '.*layers.0.*' }, modulesOf([1, 2], mlp)],
  ];

  it.each(edits)('%j: the others are passed over with a warning, as in PEFT', async (change, modules) => {
    await writeAdapter(dir, fresh(), config);
    writeFileSync(configPath, JSON.stringify({ ...JSON.parse(readFileSync(configPath, 'utf8')), ...change }));
    for (const read of [readAdapter(backend, dir, model), readAdapterTensors(backend, dir)]) {
      expect([...read.params.keys()].sort()).toEqual([...modules].sort());
      expect(read.warnings).toHaveLength(1);
      expect(read.warnings[0]).toMatch(
        `${configPath}: does not mean ${9 - modules.length} of the 9 modules in adapter_model.safetensors, such as`,
      );
    }
  });

  it.each([{ layers_to_transform: [] }, { exclude_modules: ['layers.0'] }, { exclude_modules: '' }])(
    '%j is not narrower, and warns of nothing',
    async (change) => {
      await writeAdapter(dir, fresh(), config);
      writeFileSync(
        configPath,
        JSON.stringify({ ...JSON.parse(readFileSync(configPath, 'utf8')), ...change }),
      );
      expect(readAdapter(backend, dir, model)).toMatchObject({ params: { size: 9 }, warnings: [] });
    },
  );

  it('leaves out the ranks and shapes of what is passed over', async () => {
    await writeAdapter(dir, fresh(), config);
    const change = { target_modules: ['up_proj'], rank_pattern: { down_proj: 2 } };
    writeFileSync(configPath, JSON.stringify({ ...JSON.parse(readFileSync(configPath, 'utf8')), ...change }));
    expect(readAdapter(backend, dir, model).params.size).toBe(3);
  });
});

describe('an adapter is refused, in one line that says why:', () => {
  /**
   * Writes a whole adapter, changes its config and its tensors, and gives the message with which it is
   * refused.
   */
  async function refusal(
    change: Record<string, unknown>,
    edit: (tensors: Map<string, TensorToWrite>) => void = () => {},
    read = () => readAdapter(backend, dir, model),
  ): Promise<string> {
    await prepare(change, edit);
    const { liveBytes } = backend.stats;
    try {
      read();
    } catch (error) {
      expect(error).toBeInstanceOf(DataError);
      const { message } = error as DataError;
      expect(message).not.toContain('\n');
      expect(message.startsWith(dir)).toBe(true);
      expect(backend.stats.liveBytes).toBe(liveBytes);
      return message;
    }
    throw new Error('it was accepted');
  }

  async function prepare(
    change: Record<string, unknown>,
    edit: (tensors: Map<string, TensorToWrite>) => void = () => {},
  ) {
    rmSync(dir, { recursive: true, force: true });
    await writeAdapter(dir, fresh(), config);
    writeFileSync(configPath, JSON.stringify({ ...JSON.parse(readFileSync(configPath, 'utf8')), ...change }));
    const file = openSafetensors(weightsPath);
    const tensors = new Map<string, TensorToWrite>(
      [...file.tensors].map(([name, { dtype, shape }]) => [name, { dtype, shape, data: file.read(name) }]),
    );
    file.close();
    edit(tensors);
    writeSafetensors(weightsPath, tensors);
  }

  const zeros = (...shape: number[]): TensorToWrite => ({
    dtype: 'F32',
    shape,
    data: new Float32Array(shape.reduce((a, b) => a * b, 1)),
  });

  it('kinds of adapters that are not W + s·B·A', async () => {
    const kinds: [Record<string, unknown>, string][] = [
      [{ peft_type: 'IA3' }, '"peft_type" is "IA3", which is not supported; it must be "LORA"'],
      [{ use_qalora: true }, '"use_qalora" is true, which is not supported; it must be false'],
      [{ bias: 'some' }, '"bias" is "some"'],
      [{ init_lora_weights: 'pissa_niter_4' }, '"init_lora_weights" is "pissa_niter_4"'],
      [{ init_lora_weights: 'corda' }, '"init_lora_weights" is "corda"'],
      [{ layer_replication: [[0, 2]] }, '"layer_replication"'],
      [{ target_parameters: ['weight'] }, '"target_parameters" is ["weight"]'],
      [{ use_bdlora: true }, '"use_bdlora"'],
      [{ loftq_config: { loftq_bits: 4 } }, '"loftq_config"'],
    ];
    // Their tensors say less than the option that made them: the option is named first.
    const magnitude = `base_model.model.${up}.lora_magnitude_vector`;
    for (const [change, message] of kinds) {
      const said = await refusal(change, (t) => t.set(magnitude, zeros(172)));
      expect(said).toContain(`adapter_config.json: ${message}`);
    }
  });

  it('numbers out of range', async () => {
    const wrong: [Record<string, unknown>, string][] = [
      [{ r: 0 }, '"r" must be a whole number ≥ 1, it is 0'],
      [{ r: '8' }, '"r" must be a whole number ≥ 1, it is "8"'],
      [{ r: undefined }, '"r" is missing'],
      [{ lora_alpha: -1 }, '"lora_alpha" must be above 0, it is -1'],
      [{ lora_dropout: 1 }, '"lora_dropout" must be in [0, 1), it is 1'],
      [{ use_rslora: 1 }, '"use_rslora" must be true or false, it is 1'],
      [{ rank_pattern: { up_proj: 0.5 } }, '"rank_pattern" must hold whole numbers ≥ 1, "up_proj" is 0.5'],
      [{ alpha_pattern: { 'up_proj(': 1 } }, '"alpha_pattern" has the key "up_proj("'],
      [{ target_modules: [1] }, '"target_modules" must be a list of names or a pattern, it is [1]'],
      [{ exclude_modules: 1 }, '"exclude_modules" must be a list of names or a pattern, it is 1'],
      [{ target_modules: '(?i).*UP_PROJ' }, '"target_modules" is not a pattern of module names: "(?i" is an'],
      [{ target_modules: [] }, 'means none of the modules that adapter_model.safetensors has'],
      [
        { layers_to_transform: ['1'] },
        '"layers_to_transform" must be the number of a layer, or a list of them',
      ],
      [{ layers_pattern: 'layers' }, '"layers_pattern" needs "layers_to_transform"'],
      [
        { target_modules: '.*up_proj', layers_to_transform: [1] },
        '"layers_to_transform" needs a list of names in "target_modules"',
      ],
    ];
    for (const [change, message] of wrong) expect(await refusal(change)).toContain(message);
  });

  it('an A without its B, and tensors that are neither', async () => {
    expect(await refusal({}, (t) => t.delete(adapterName(up, 'B')))).toContain(
      `there is no lora_B for "${up}"`,
    );
    expect(await refusal({}, (t) => t.delete(adapterName(up, 'A')))).toContain(
      `there is no lora_A for "${up}"`,
    );
    const mean = `base_model.model.${up}.lora_mean`;
    expect(await refusal({}, (t) => t.set(mean, zeros(172)))).toContain(
      `tensor "${mean}" is no tensor of an adapter`,
    );
    expect(await refusal({}, (t) => t.clear())).toContain('has no tensors');
    const twice = adapterName(up, 'A').replace('.weight', '.default.weight');
    expect(await refusal({}, (t) => t.set(twice, zeros(8, 64)))).toContain('are the same tensor');
    const integers: TensorToWrite = { dtype: 'I32', shape: [8, 64], data: new Int32Array(512) };
    expect(await refusal({}, (t) => t.set(adapterName(up, 'A'), integers))).toContain('it is I32');
  });

  it.each([
    ['use_dora', 'lora_magnitude_vector'],
    ['lora_bias', 'lora_B.bias'],
  ])('%s without a vector for each module, or with one that it does not mean', async (key, suffix) => {
    const name = (path: string) => `base_model.model.${path}.${suffix}`;
    const all = (t: Map<string, TensorToWrite>, out = (path: string) => linears.get(path)!.out) => {
      for (const path of fresh().keys()) t.set(name(path), zeros(out(path)));
    };
    expect(await refusal({}, (t) => all(t))).toBe(
      `${weightsPath}: has a "${name(down.replace('2', '0'))}", though "${key}" is false`,
    );
    const lacking = (t: Map<string, TensorToWrite>) => {
      all(t);
      t.delete(name(up));
    };
    expect(await refusal({ [key]: true }, lacking)).toContain(
      `has no "${name(up)}", though "${key}" is true`,
    );
    expect(await refusal({ [key]: true }, (t) => all(t, () => 3))).toContain('expects [172], has [3]');
    await prepare({ [key]: true }, (t) => all(t));
    expect(readAdapter(backend, dir, model).params.size).toBe(9);
  });

  it('shapes that do not fit the model or the rank', async () => {
    const name = adapterName(up, 'A');
    expect(await refusal({}, (t) => t.set(name, zeros(8, 128)))).toBe(
      `${weightsPath}: adapter for another model: ${name} expects [8, 64], has [8, 128]`,
    );
    expect(await refusal({}, (t) => t.set(name, zeros(4, 64)))).toBe(
      `${weightsPath}: ${name} expects [8, in] of the rank in adapter_config.json, has [4, 64]`,
    );
    expect(await refusal({ rank_pattern: { up_proj: 4 } })).toContain('expects [4, in] of the rank');
    expect(await refusal({}, (t) => t.set(name, zeros(512)))).toContain('has [512]');
    expect(await refusal({}, (t) => t.set(adapterName(up, 'B'), zeros(172, 4)))).toContain(
      'expects [out, 8] of the rank',
    );
    const alone = () => readAdapterTensors(backend, dir);
    expect(await refusal({}, (t) => t.set(name, zeros(4, 64)), alone)).toContain('expects [8, in]');
  });

  it('modules that the model lacks, and modules that it should adapt and does not', async () => {
    const more = 'model.layers.3.mlp.up_proj';
    const message = await refusal({}, (t) =>
      t.set(adapterName(more, 'A'), zeros(8, 64)).set(adapterName(more, 'B'), zeros(172, 8)),
    );
    expect(message).toContain(`belongs to "${more}", which is no layer of the model`);
    const drop = (t: Map<string, TensorToWrite>) => {
      for (const side of ['A', 'B'] as const) t.delete(adapterName(down, side));
    };
    expect(await refusal({}, drop)).toContain(
      `target_modules means "${down}" too, for which it has no weights`,
    );
    expect(await refusal({ target_modules: '.*_proj', exclude_modules: ['self_attn.q_proj'] })).toContain(
      'target_modules means "model.layers.0.self_attn.k_proj" too',
    );
    await prepare({ layers_to_transform: [0, 1] }, drop);
    expect(readAdapter(backend, dir, model).params.size).toBe(6);
  });

  it('files that are missing or damaged', async () => {
    rmSync(dir, { recursive: true, force: true });
    expect(() => readAdapter(backend, dir, model)).toThrow(
      `${configPath}: cannot be read; give the folder of a PEFT adapter`,
    );
    await prepare({});
    rmSync(weightsPath);
    expect(() => readAdapter(backend, dir, model)).toThrow(DataError);
    writeFileSync(join(dir, 'adapter_model.bin'), '');
    expect(() => readAdapter(backend, dir, model)).toThrow(
      `${weightsPath}: is not there, and adapter_model.bin, PyTorch's pickled format, is not read; ` +
        `convert it in that folder: python -c 'import torch, safetensors.torch as s; ` +
        `s.save_file(torch.load("adapter_model.bin"), "adapter_model.safetensors")'`,
    );
    await prepare({});
    writeFileSync(configPath, '{"r": 8,');
    expect(() => readAdapter(backend, dir, model)).toThrow(`${configPath}: is not JSON`);
    writeFileSync(configPath, '[]');
    expect(() => readAdapter(backend, dir, model)).toThrow('is not a JSON object');
  });

  it('but not names of older files, other float types, or keys that are left out', async () => {
    await prepare({}, (t) => {
      for (const [name, tensor] of [...t]) {
        t.delete(name);
        t.set(name.replace('.weight', '.default.weight'), tensor);
      }
    });
    expect([...readAdapter(backend, dir, model).params.keys()]).toEqual([...fresh().keys()]);
    const halves = toBfloat16Bits(new Float32Array(512).fill(1.5));
    await prepare({}, (t) => t.set(adapterName(up, 'A'), { dtype: 'BF16', shape: [8, 64], data: halves }));
    expect((await readAdapter(backend, dir, model).params.get(up)?.a.data())?.[3]).toBe(1.5);
    const lora = { ...config, targets: ['v_proj', 'q_proj'] };
    await writeAdapter(dir, fresh(lora), lora);
    writeFileSync(configPath, JSON.stringify({ peft_type: 'LORA', r: 8, lora_alpha: 32 }));
    const read = readAdapter(backend, dir, model).config;
    // Without target_modules PEFT takes q_proj and v_proj for a Llama.
    expect(read).toMatchObject({ alpha: 32, dropout: 0, scaling: 'alpha/r', targets: ['q_proj', 'v_proj'] });
  });
});
