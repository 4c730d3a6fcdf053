import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { ConfigError } from '@flex/base';
import { temporaryFile, temporaryFolder } from '@flex/base/testing';
import { describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { type LoadOptions, loadConfig } from './config.ts';
import { partModule } from './testing/part-module.ts';

const drift = join(import.meta.dirname, 'testing/parts/drift.ts');

const needed = ['model=m', 'data.source=d.jsonl', 'out=o'];

function load(overrides: readonly string[] = [], options: Omit<LoadOptions, 'overrides'> = {}) {
  return loadConfig({ overrides: [...needed, ...overrides], ...options });
}

/** The message of the ConfigError, its file without the folder; it must be one line. */
async function complaint(run: () => Promise<unknown>): Promise<string> {
  try {
    await run();
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    const { message } = error as ConfigError;
    expect(message).not.toContain('\n');
    return message.replace(/^\S*\//, '');
  }
  throw new Error('nothing was thrown');
}

function complaintAbout(name: string, text: string): Promise<string> {
  const file = temporaryFile(name, text);
  return complaint(() => loadConfig({ file }));
}

describe('the defaults', () => {
  test('are those of the corrected protocol', async () => {
    expect(await load()).toEqual({
      preset: 'corrected',
      model: resolve('m'),
      quantize: null,
      adapter: null,
      data: {
        source: resolve('d.jsonl'),
        split: null,
        format: 'auto',
        template: null,
        maxLength: 512,
        shuffle: true,
        packing: false,
        allowOverlap: false,
        appendEos: true,
        lossOn: 'completion',
      },
      out: resolve('o'),
      dtype: 'f16',
      lora: {
        rank: 8,
        alpha: 16,
        dropout: 0.05,
        targets: 'mlp',
        scaling: 'alpha/r',
        init: 'kaiming',
        dora: false,
        loraBias: false,
        bias: 'none',
      },
      optimizer: {
        name: 'adamw',
        lr: 2e-4,
        betas: [0.9, 0.999],
        eps: 1e-8,
        weightDecay: 0.01,
        loraPlusRatio: 1,
      },
      schedule: { name: 'cosine', warmupSteps: 0, minLrRatio: 0 },
      regularizer: [
        {
          name: 'fourier',
          lambda: 0.02,
          threshold: 0.5,
          phiLow: 1,
          phiHigh: 0.1,
          norm: 'ortho',
          n: 'bins',
          rho: '1-phi',
          sides: 'one',
          ramp: 'ramp',
          scope: 'each',
          order: 'row',
          permutationSeed: 0,
          enters: 'loss',
        },
      ],
      train: {
        batchSize: 4,
        gradAccumulation: 1,
        epochs: 3,
        maxSteps: null,
        maxGradNorm: 1,
        seed: 0,
        evalEvery: 100,
        saveEvery: 100,
        spectrumEvery: 100,
        keepCheckpoints: null,
        bestBy: null,
        patience: null,
        checkpointActivations: 'auto',
      },
      eval: [],
      callbacks: [],
    });
  });

  test('of the preset paper are the transform without a norm, all tokens, all rows and s = α', async () => {
    const { data, lora, regularizer } = await load(['preset=paper']);
    expect(data).toMatchObject({ split: 'all', lossOn: 'all', appendEos: true });
    expect(lora.scaling).toBe('alpha');
    expect(regularizer[0]).toMatchObject({ norm: 'backward' });
  });

  test('of the preset author-script are no end-of-text token, and scored padding', async () => {
    const { data } = await load(['preset=author-script']);
    expect(data).toMatchObject({ split: null, lossOn: 'all-and-padding', appendEos: false });
  });

  test('of a preset give way to what is set', async () => {
    expect((await load(['preset=paper', 'regularizer.norm=ortho', 'data.split=train'])).data.split).toBe(
      'train',
    );
    expect((await load(['preset=paper', 'regularizer.norm=ortho'])).regularizer[0]).toMatchObject({
      norm: 'ortho',
    });
  });

  test('of held-out data score the completion without end-of-text, whatever the training data’s are', async () => {
    const { eval: heldOut } = await load([
      'preset=paper',
      'data.max_length=64',
      'eval={source: x, split: 511-600}',
    ]);
    expect(heldOut).toEqual([
      {
        source: resolve('x'),
        split: '511-600',
        format: 'auto',
        template: null,
        maxLength: null,
        appendEos: false,
        lossOn: 'completion',
      },
    ]);
  });

  test('of lora stay away when an adapter is continued, so that what is given can be compared with it', async () => {
    expect((await load(['adapter=a'])).lora).toEqual({});
    expect((await load(['adapter=a', 'lora.rank=4'])).lora).toEqual({ rank: 4 });
    expect((await load(['adapter=a', 'preset=paper'])).lora).toEqual({});
  });
});

describe('a configuration file', () => {
  const values = {
    model: 'm',
    data: { source: 'd' },
    out: 'o',
    optimizer: { lr: 0.5 },
    lora: { targets: ['q_proj'] },
  };

  test('means the same as YAML, TOML and JSON', async () => {
    const toml = `model = "m"\nout = "o"\n[data]\nsource = "d"\n[optimizer]\nlr = 0.5\n[lora]\ntargets = ["q_proj"]\n`;
    const json = JSON.stringify(values, null, '\t');
    const folder = temporaryFolder();
    const texts = { 'run.yaml': stringify(values), 'run.toml': toml, 'run.json': json };
    const files = Object.entries(texts).map(([name, text]) => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    });
    const [yaml, ...others] = await Promise.all(files.map((file) => loadConfig({ file })));
    expect(yaml.optimizer).toMatchObject({ lr: 0.5 });
    for (const other of others) expect(other).toEqual(yaml);
  });

  test('stands over the defaults that are given, and overrides stand over it', async () => {
    const file = temporaryFile('run.yaml', stringify(values));
    const { optimizer, train } = await loadConfig({
      file,
      overrides: ['optimizer.lr=0.25'],
      defaults: { optimizer: { lr: 9, eps: 1 }, train: { seed: 7 } },
    });
    expect(optimizer).toMatchObject({ lr: 0.25, eps: 1 });
    expect(train.seed).toBe(7);
  });

  test('has one penalty, several, or none', async () => {
    expect((await load(['regularizer=none'])).regularizer).toEqual([]);
    const { regularizer: several } = await load(['regularizer=[{name: l2, lambda: 1}, {lambda: 0}]']);
    expect(several).toMatchObject([
      { name: 'l2', lambda: 1 },
      { name: 'fourier', lambda: 0 },
    ]);
  });
});

describe('a mistake is told in one line:', () => {
  test.each([
    [
      'a misspelt key',
      'model: m\n\noptimizer:\n  lrr: 1\n',
      'run.yaml:4: optimizer.lrr is not a key; did you mean optimizer.lr?',
    ],
    ['a key in the wrong place', 'lr: 1\n', 'run.yaml:1: lr is not a key; did you mean optimizer.lr?'],
    [
      'a key like none',
      'schedule: {colour: 1}',
      'run.yaml:1: schedule.colour is not a key; schedule takes name, warmup_steps, min_lr_ratio',
    ],
    [
      'a key of another penalty',
      'regularizer: {name: l2, threshold: 1}',
      'run.yaml:1: regularizer.threshold is not a key; regularizer takes name, lambda, enters',
    ],
    [
      'a key in a list',
      'regularizer:\n  - name: l2\n  - {name: fourier, fi_low: 1}',
      'run.yaml:3: regularizer.1.fi_low is not a key; did you mean regularizer.1.phi_low?',
    ],
    ['a misspelt key that is needed', 'modle: m', 'run.yaml:1: modle is not a key; did you mean model?'],
    ['a duplicate key', 'model: m\nmodel: n', 'run.yaml:2: Map keys must be unique'],
    ['an unknown alias', 'model: *m', 'run.yaml: Unresolved alias'],
    ['malformed YAML', 'model: [m\nout: o', 'run.yaml:2: Flow sequence in block collection'],
    ['a list as a whole', '- model', 'run.yaml: must be a section of keys'],
    ['a missing key', 'model: m', 'run.yaml: data is missing; it must be a section of keys'],
    [
      'a missing key of a section',
      'model: m\ndata: {split: all}',
      'run.yaml:2: data.source is missing; it must be a path or a name',
    ],
  ])('%s', async (_, text, message) => {
    expect(await complaintAbout('run.yaml', text)).toContain(message);
  });

  test.each([
    ['train.batch_size=0', 'train.batch_size must be a whole number of at least 1, got 0'],
    ['train.batch_size=1.5', 'train.batch_size must be a whole number of at least 1, got 1.5'],
    ['train.seed=4294967296', 'train.seed must be a whole number from 0 to 4294967295, got 4294967296'],
    ['train.batch_size=four', 'train.batch_size must be a whole number of at least 1, got "four"'],
    ['train=', 'train must be a section of keys, got null'],
    ['optimizer.lr=.nan', 'optimizer.lr must be a number above 0, got NaN'],
    [
      'optimizer.betas=[0.9]',
      'optimizer.betas must be a list of two numbers such as [0.9, 0.999], got [0.9]',
    ],
    ['optimizer.betas=[0.9, 1]', 'optimizer.betas.1 must be a number of at least 0 and below 1, got 1'],
    [
      'optimizer.name=sophia',
      'optimizer.name must be adamw, sophia-g, sophia-h, lion or sgd, got "sophia"; did you mean sophia-g',
    ],
    [
      'optimizer={name: sophia-g, betas: [0.9]}',
      'optimizer.betas must be a list of two numbers such as [0.965, 0.99], got [0.9]',
    ],
    [
      'optimizer={name: sgd, momentum: 1}',
      'optimizer.momentum must be a number of at least 0 and below 1, got 1',
    ],
    [
      'optimizer.name=adam',
      'optimizer.name must be adamw, sophia-g, sophia-h, lion or sgd, got "adam"; did you mean adamw? (one of your own is named by its module, use: ./module.ts)',
    ],
    ['dtype=bf16', 'dtype bf16 is not built yet; take f32 or f16'],
    ['dtype=f61', 'dtype must be f32 or f16, got "f61"; did you mean f16?'],
    [
      'lora.targets=mpl',
      'lora.targets must be mlp, attention, all-linear, a pattern of paths, or a list of module names or globs, got "mpl"',
    ],
    ['lora.dropout=1', 'lora.dropout must be a number of at least 0 and below 1, got 1'],
    [
      'lora={scaling: alpha, rank_pattern: {q_proj: 4}}',
      'lora.scaling alpha with rank_pattern or alpha_pattern cannot be saved; take alpha/r or alpha/sqrt(r)',
    ],
    ['data.shuffle=yes', 'data.shuffle must be true or false, got "yes"'],
    ['data.split=600-511', 'data.split must be train, validation, test, prompt, all, a range of task ids'],
    ['data.template={prompt: a}', 'data.template.completion is missing; it must be a text'],
    [
      'regularizer=l2',
      'regularizer must be none, a section such as {name: fourier}, or a list of such sections, got "l2"',
    ],
    [
      'regularizer.norm=otho',
      'regularizer.norm must be ortho, backward or mean, got "otho"; did you mean ortho?',
    ],
    [
      'regularizer=[{name: l3}]',
      'regularizer.0.name must be fourier, matched-l2, swapped-frequencies, permuted-frequencies, dct or l2, got "l3"; did you mean l2?',
    ],
    ['eval=[3]', 'eval.0 must be a section such as {source: mbpp.jsonl, split: 511-600}, got 3'],
    ['preset=papr', 'preset must be corrected, paper or author-script, got "papr"; did you mean paper?'],
    ['lora.dropuot=0', 'lora.dropuot is not a key; did you mean lora.dropout?'],
    ['adapter=3', 'adapter must be the path of a PEFT adapter, got 3'],
  ])('the override %s', async (override, message) => {
    expect(await complaint(() => load([override]))).toContain(
      `override ${JSON.stringify(override)}: ${message}`,
    );
  });

  test.each([
    ['lr', 'override "lr": must be key=value, such as train.seed=3'],
    ['a..b=1', 'override "a..b=1": must be key=value'],
    ['lora.targets=*_proj', 'override "lora.targets=*_proj": Unresolved alias'],
    ['out.name=x', 'override "out.name=x": out is "o", not a section of keys'],
    ['eval.0.split=all', 'override "eval.0.split=all": eval.0 is not a key; eval takes source'],
    ['__proto__.lr=1', 'override "__proto__.lr=1": __proto__ is not a key'],
  ])('the override %s, which cannot be applied', async (override, message) => {
    expect(await complaint(() => load([override]))).toContain(message);
  });

  test('an override into a list takes a place that the list has', async () => {
    const list = 'regularizer=[{name: l2}, {name: fourier}]';
    expect((await load([list, 'regularizer.1.lambda=3'])).regularizer[1]).toMatchObject({
      name: 'fourier',
      lambda: 3,
    });
    const message = await complaint(() => load([list, 'regularizer.lambda=3']));
    expect(message).toContain('regularizer is a list of 2; write regularizer.0 for its first');
  });

  test('a wrong value is traced to the last that set it', async () => {
    const message = await complaint(() => load(['train.seed=1', 'train={seed: -1}']));
    expect(message).toContain('override "train={seed: -1}": train.seed must be');
  });

  test('malformed TOML has its line, and a wrong key of TOML its path', async () => {
    expect(await complaintAbout('run.toml', 'a = 1\nb = [')).toContain('run.toml:2: Invalid TOML document');
    expect(await complaintAbout('run.toml', '[optimizer]\nlrr = 1')).toContain(
      'run.toml: optimizer.lrr is not a key',
    );
  });

  test('a wrong key of JSON has its line', async () => {
    const text = '{\n\t"optimizer": {\n\t\t"lrr": 1\n\t}\n}';
    expect(await complaintAbout('run.json', text)).toContain('run.json:3: optimizer.lrr is not a key');
  });

  test('a file that is not there, or of an unknown kind', async () => {
    const folder = temporaryFolder();
    expect(await complaint(() => loadConfig({ file: join(folder, 'run.yaml') }))).toMatch(
      /run\.yaml: there is no such file$/,
    );
    mkdirSync(join(folder, 'dir.yaml'));
    expect(await complaint(() => loadConfig({ file: join(folder, 'dir.yaml') }))).toContain('is a folder');
    const text = `model: ${'m'.repeat(1 << 17)}`;
    expect(await complaintAbout('run.yaml', text)).toContain('at most 131072 are read');
    writeFileSync(join(folder, 'run.txt'), '');
    expect(await complaint(() => loadConfig({ file: join(folder, 'run.txt') }))).toContain(
      'must end in .yaml, .yml, .toml or .json',
    );
  });

  test('holding out a part of what the preset paper trains on', async () => {
    const overrides = ['preset=paper', 'eval={source: ./d.jsonl, split: 511-600}'];
    expect(await complaint(() => load(overrides))).toContain(
      ': eval.source is data.source, all of which the preset paper trains on',
    );
    expect((await load([...overrides, 'data.split=11-510'])).eval).toHaveLength(1);
  });
});

describe("a stranger's part", () => {
  const run = (section: string) => `model: m\nout: o\ndata: {source: d}\n${section}\n`;

  test('has its options as its schema reads them, and the names in an option as they are', async () => {
    const file = temporaryFile('run.yaml', run(`regularizer:\n  use: ${drift}\n  weights: {up_proj: 2}`));
    expect((await loadConfig({ file })).regularizer).toEqual([
      {
        use: drift,
        lambda: 0.02,
        order: 2,
        lookAhead: 0.5,
        weights: { up_proj: 2 },
        driftSeed: 7,
        enters: 'loss',
      },
    ]);
  });

  test.each([
    ['order: 0', 'regularizer.order must be a whole number of at least 1, got 0'],
    ['look_ahead: 1', 'regularizer.look_ahead must be a number of at least 0 and below 1, got 1'],
    ['look_ahed: 1', 'regularizer.look_ahed is not a key; did you mean regularizer.look_ahead?'],
    ['lookAhead: 1', 'regularizer.lookAhead is not a key; did you mean regularizer.look_ahead?'],
    ['lamda: 1', 'regularizer.lamda is not a key; did you mean regularizer.lambda?'],
    ['lambda: -1', 'regularizer.lambda must be a number of at least 0, got -1'],
    ['enters: los', 'regularizer.enters must be loss or decoupled, got "los"; did you mean loss?'],
    ['weights: {q_proj: x}', 'regularizer.weights.q_proj must be a number, got "x"'],
    ['name: drift', 'regularizer.name is not a key; regularizer takes use, lambda, order'],
  ])('is told in one line that %s is wrong, with its line', async (option, message) => {
    const text = run(`regularizer:\n  use: ${drift}\n  ${option}`);
    expect(await complaintAbout('run.yaml', text)).toContain(`run.yaml:6: ${message}`);
  });

  test.each(['regularizer', 'optimizer', 'schedule', 'callbacks'])('may be a %s', async (key) => {
    const [section] = [(await load([`${key}={use: ${drift}}`]))[key as 'regularizer']].flat();
    expect(section).toMatchObject({ use: drift, lookAhead: 0.5 });
  });

  test('may read rows, of the training data and of what is held out', async () => {
    const format = join(import.meta.dirname, 'testing/parts/question-answer.ts');
    const file = temporaryFile(
      'run.yaml',
      `model: m\nout: o\ndata: {source: d, format: {use: ${format}}}\neval: {source: e, format: {use: ${format}, ask_wth: ''}}`,
    );
    expect(await complaint(() => loadConfig({ file }))).toContain(
      'run.yaml:4: eval.format.ask_wth is not a key; did you mean eval.format.ask_with?',
    );
    const { data, eval: heldOut } = await loadConfig({ file, overrides: ['eval={source: e, format: mbpp}'] });
    expect(data.format).toEqual({ use: format, askWith: 'Q: ' });
    expect(heldOut[0].format).toBe('mbpp');
    expect(await complaint(() => load(['data.format=mbp']))).toContain(
      'data.format must be auto, input-ids, messages, mbpp',
    );
  });

  test('is refused in one line where it is none, and where it has an option that the run has', async () => {
    const refused = (text: string) => complaint(() => load([`regularizer.use=${partModule(text)}`]));
    expect(await refused('() => 3')).toMatch(/mine\.mjs must have a default export made with definePart/);
    expect(await refused("{ name: 'a', schema: z.strictObject({ lambda: z.int() }), make() {} }")).toMatch(
      /regularizer\.use a: its schema has the key lambda/,
    );
    expect(await complaint(() => load(['regularizer.use=3']))).toContain('regularizer.use must be the path');
    expect(await complaint(() => load(['callbacks={name: log}']))).toContain(
      'callbacks.name is not a key here; write {use: ./module.ts}',
    );
  });
});
