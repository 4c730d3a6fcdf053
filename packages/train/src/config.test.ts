import { mkdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { ConfigError } from '@flex/base';
import { temporaryFile, temporaryFolder } from '@flex/base/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { type LoadOptions, loadConfig, printConfig } from './config.ts';

const needed = ['model=m', 'data.source=d.jsonl', 'out=o'];

function load(overrides: readonly string[] = [], options: Omit<LoadOptions, 'overrides'> = {}) {
  return loadConfig({ overrides: [...needed, ...overrides], ...options });
}

/** The message of the ConfigError, its file without the folder; it must be one line. */
function complaint(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    const { message } = error as ConfigError;
    expect(message).not.toContain('\n');
    return message.replace(/^\S*\//, '');
  }
  throw new Error('nothing was thrown');
}

function complaintAbout(name: string, text: string): string {
  const file = temporaryFile(name, text);
  return complaint(() => loadConfig({ file }));
}

describe('the defaults', () => {
  test('are those of the corrected protocol', () => {
    expect(load()).toEqual({
      preset: 'corrected',
      model: 'm',
      adapter: null,
      data: {
        source: 'd.jsonl',
        split: null,
        format: 'auto',
        template: null,
        max_length: 512,
        shuffle: true,
        append_eos: true,
        loss_on: 'completion',
      },
      out: 'o',
      dtype: 'f16',
      lora: { rank: 8, alpha: 16, dropout: 0.05, targets: 'mlp', scaling: 'alpha/r' },
      optimizer: { name: 'adamw', lr: 2e-4, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.01 },
      schedule: { name: 'cosine', warmup_steps: 0, min_lr_ratio: 0 },
      regularizer: [
        {
          name: 'fourier',
          lambda: 0.02,
          threshold: 0.5,
          phi_low: 1,
          phi_high: 0.1,
          norm: 'ortho',
          n: 'bins',
          rho: '1-phi',
          sides: 'one',
          ramp: 'ramp',
          scope: 'each',
          order: 'row',
          permutation_seed: 0,
          enters: 'loss',
        },
      ],
      train: {
        batch_size: 4,
        grad_accumulation: 1,
        epochs: 3,
        max_steps: null,
        max_grad_norm: 1,
        seed: 0,
        eval_every: 100,
        save_every: 100,
        checkpoint_activations: 'auto',
      },
      eval: [],
    });
  });

  test('of the preset paper are the transform without a norm, all tokens, all rows and s = α', () => {
    const { data, lora, regularizer } = load(['preset=paper']);
    expect(data).toMatchObject({ split: 'all', loss_on: 'all', append_eos: true });
    expect(lora.scaling).toBe('alpha');
    expect(regularizer[0]).toMatchObject({ norm: 'backward' });
  });

  test('of the preset author-script are no end-of-text token, and scored padding', () => {
    const { data } = load(['preset=author-script']);
    expect(data).toMatchObject({ split: null, loss_on: 'all-and-padding', append_eos: false });
  });

  test('of a preset give way to what is set', () => {
    expect(load(['preset=paper', 'regularizer.norm=ortho', 'data.split=train']).data.split).toBe('train');
    expect(load(['preset=paper', 'regularizer.norm=ortho']).regularizer[0]).toMatchObject({ norm: 'ortho' });
  });

  test('of held-out data score the completion without end-of-text, cut as the training data is', () => {
    const { eval: heldOut } = load([
      'preset=paper',
      'data.max_length=64',
      'eval={source: x, split: 511-600}',
    ]);
    expect(heldOut).toEqual([
      {
        source: 'x',
        split: '511-600',
        format: 'auto',
        template: null,
        max_length: 64,
        append_eos: false,
        loss_on: 'completion',
      },
    ]);
  });

  test('of lora stay away when an adapter is continued, so that what is given can be compared with it', () => {
    expect(load(['adapter=a']).lora).toEqual({});
    expect(load(['adapter=a', 'lora.rank=4']).lora).toEqual({ rank: 4 });
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

  test('means the same as YAML, TOML and JSON', () => {
    const toml = `model = "m"\nout = "o"\n[data]\nsource = "d"\n[optimizer]\nlr = 0.5\n[lora]\ntargets = ["q_proj"]\n`;
    const json = JSON.stringify(values, null, '\t');
    const files = [
      temporaryFile('run.yaml', stringify(values)),
      temporaryFile('run.toml', toml),
      temporaryFile('run.json', json),
    ];
    const [yaml, ...others] = files.map((file) => loadConfig({ file }));
    expect(yaml.optimizer).toMatchObject({ lr: 0.5 });
    for (const other of others) expect(other).toEqual(yaml);
  });

  test('stands over the defaults that are given, and overrides stand over it', () => {
    const file = temporaryFile('run.yaml', stringify(values));
    const { optimizer, train } = loadConfig({
      file,
      overrides: ['optimizer.lr=0.25'],
      defaults: { optimizer: { lr: 9, eps: 1 }, train: { seed: 7 } },
    });
    expect(optimizer).toMatchObject({ lr: 0.25, eps: 1 });
    expect(train.seed).toBe(7);
  });

  test('of an own part finds its module from its own folder', () => {
    const file = temporaryFile(
      'run.yaml',
      stringify({ ...values, optimizer: { use: './mine.ts', speed: [1, 2] } }),
    );
    expect(loadConfig({ file }).optimizer).toEqual({ use: join(dirname(file), 'mine.ts'), speed: [1, 2] });
    expect(load(['regularizer.use=./mine.ts']).regularizer).toEqual([{ use: resolve('mine.ts') }]);
    expect(load(['regularizer.use=a-package']).regularizer).toEqual([{ use: 'a-package' }]);
  });

  test('has one penalty, several, or none', () => {
    expect(load(['regularizer=none']).regularizer).toEqual([]);
    const several = load(['regularizer=[{name: l2, lambda: 1}, {lambda: 0}]']).regularizer;
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
  ])('%s', (_, text, message) => {
    expect(complaintAbout('run.yaml', text)).toContain(message);
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
    ['optimizer.name=sophia-g', 'optimizer.name sophia-g is not built yet; take adamw'],
    ['optimizer.name=adam', 'optimizer.name must be adamw, got "adam"'],
    ['dtype=bf16', 'dtype bf16 is not built yet; take f32 or f16'],
    ['dtype=f61', 'dtype must be f32 or f16, got "f61"; did you mean f16?'],
    [
      'lora.targets=mpl',
      'lora.targets must be mlp, attention, all-linear, or a list of module names or globs, got "mpl"',
    ],
    ['lora.dropout=1', 'lora.dropout must be a number of at least 0 and below 1, got 1'],
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
    ['regularizer=[{name: l3}]', 'regularizer.0.name must be fourier or l2, got "l3"; did you mean l2?'],
    ['eval=[3]', 'eval.0 must be a section such as {source: mbpp.jsonl, split: 511-600}, got 3'],
    ['preset=papr', 'preset must be corrected, paper or author-script, got "papr"; did you mean paper?'],
    ['lora.dropuot=0', 'lora.dropuot is not a key; did you mean lora.dropout?'],
    ['adapter=3', 'adapter must be the path of a PEFT adapter, got 3'],
  ])('the override %s', (override, message) => {
    expect(complaint(() => load([override]))).toContain(`override ${JSON.stringify(override)}: ${message}`);
  });

  test.each([
    ['lr', 'override "lr": must be key=value, such as train.seed=3'],
    ['a..b=1', 'override "a..b=1": must be key=value'],
    ['lora.targets=*_proj', 'override "lora.targets=*_proj": Unresolved alias'],
    ['out.name=x', 'override "out.name=x": out is "o", not a section of keys'],
    ['eval.0.split=all', 'override "eval.0.split=all": eval.0 is not a key; eval takes source'],
    ['__proto__.lr=1', 'override "__proto__.lr=1": __proto__ is not a key'],
  ])('the override %s, which cannot be applied', (override, message) => {
    expect(complaint(() => load([override]))).toContain(message);
  });

  test('an override into a list takes a place that the list has', () => {
    const list = 'regularizer=[{name: l2}, {name: fourier}]';
    expect(load([list, 'regularizer.1.lambda=3']).regularizer[1]).toMatchObject({
      name: 'fourier',
      lambda: 3,
    });
    const message = complaint(() => load([list, 'regularizer.lambda=3']));
    expect(message).toContain('regularizer is a list of 2; write regularizer.0 for its first');
  });

  test('a wrong value is traced to the last that set it', () => {
    const message = complaint(() => load(['train.seed=1', 'train={seed: -1}']));
    expect(message).toContain('override "train={seed: -1}": train.seed must be');
  });

  test('malformed TOML has its line, and a wrong key of TOML its path', () => {
    expect(complaintAbout('run.toml', 'a = 1\nb = [')).toContain('run.toml:2: Invalid TOML document');
    expect(complaintAbout('run.toml', '[optimizer]\nlrr = 1')).toContain(
      'run.toml: optimizer.lrr is not a key',
    );
  });

  test('a wrong key of JSON has its line', () => {
    const text = '{\n\t"optimizer": {\n\t\t"lrr": 1\n\t}\n}';
    expect(complaintAbout('run.json', text)).toContain('run.json:3: optimizer.lrr is not a key');
  });

  test('a file that is not there, or of an unknown kind', () => {
    const folder = temporaryFolder();
    expect(complaint(() => loadConfig({ file: join(folder, 'run.yaml') }))).toContain('no such file');
    mkdirSync(join(folder, 'dir.yaml'));
    expect(complaint(() => loadConfig({ file: join(folder, 'dir.yaml') }))).toContain('cannot be read');
    writeFileSync(join(folder, 'run.txt'), '');
    expect(complaint(() => loadConfig({ file: join(folder, 'run.txt') }))).toContain(
      'must end in .yaml, .yml, .toml or .json',
    );
  });

  test('holding out a part of what the preset paper trains on', () => {
    const overrides = ['preset=paper', 'eval={source: ./d.jsonl, split: 511-600}'];
    expect(complaint(() => load(overrides))).toContain(
      ': eval.source is data.source, all of which the preset paper trains on',
    );
    expect(load([...overrides, 'data.split=11-510']).eval).toHaveLength(1);
  });
});

describe('a printed configuration', () => {
  const text = fc.oneof(
    fc.string({ minLength: 1 }),
    fc.string({ unit: 'grapheme', minLength: 1 }),
    fc.constantFrom('null', '1e3', '~', 'a: b', '"', '\r\n ', ' # x'),
  );
  const amount = fc.double({ min: 1e-12, max: 1e12, noNaN: true });
  const unit = fc.double({ min: 0, max: 0.999, noNaN: true });
  const count = fc.integer({ min: 1, max: 1e9 });
  const some = <T extends Record<string, fc.Arbitrary<unknown>>>(model: T) =>
    fc.record(model, { requiredKeys: [] });
  const split = fc.constantFrom('train', 'all', '11-510', '511-600,prompt', '7', null);
  const template = fc.option(fc.record({ prompt: fc.string(), completion: text }));
  const fourier = some({
    lambda: amount,
    threshold: fc.double({ min: 1e-9, max: 1, noNaN: true }),
    phi_low: unit,
    phi_high: unit,
    norm: fc.constantFrom('ortho', 'backward', 'mean'),
    scope: fc.constantFrom('each', 'product', 'change'),
    order: fc.constantFrom('row', 'permuted'),
  });
  const own = fc
    .tuple(text, fc.dictionary(fc.stringMatching(/^[a-z]{5,9}$/), fc.jsonValue()))
    .map(([use, options]) => ({ ...options, use }));
  const penalty = fc.oneof(
    fourier,
    own,
    some({ lambda: amount }).map((options) => ({ ...options, name: 'l2' })),
  );
  const heldOut = fc.record(
    { source: text, split, max_length: count.map((n) => n + 1), template },
    { requiredKeys: ['source'] },
  );
  const configuration = fc.record(
    {
      model: text,
      out: text,
      data: fc.record({ source: text, split, template, shuffle: fc.boolean() }, { requiredKeys: ['source'] }),
      preset: fc.constantFrom('corrected', 'paper', 'author-script'),
      adapter: fc.option(text),
      dtype: fc.constantFrom('f32', 'f16'),
      lora: some({
        rank: count,
        alpha: amount,
        dropout: unit,
        targets: fc.oneof(fc.constantFrom('mlp', 'attention'), fc.array(text, { minLength: 1 })),
      }),
      optimizer: fc.oneof(own, some({ lr: amount, betas: fc.tuple(unit, unit), eps: amount })),
      schedule: some({ warmup_steps: count, min_lr_ratio: unit }),
      regularizer: fc.oneof(fc.constant('none'), penalty, fc.array(penalty)),
      train: some({
        batch_size: count,
        max_steps: fc.option(count),
        max_grad_norm: fc.option(amount),
        checkpoint_activations: fc.constantFrom('auto', true, false),
      }),
      eval: fc.oneof(heldOut, fc.array(heldOut)),
    },
    { requiredKeys: ['model', 'out', 'data'] },
  );

  test('loaded again is the identical configuration', () => {
    const folder = temporaryFolder();
    const file = join(folder, 'run.yaml');
    fc.assert(
      fc.property(configuration, (values) => {
        const heldOut = [values.eval ?? []]
          .flat()
          .some(({ source }) => resolve(source) === resolve(values.data.source));
        fc.pre(!heldOut);
        const config = loadConfig({ defaults: values });
        writeFileSync(file, printConfig(config));
        expect(loadConfig({ file })).toEqual(config);
      }),
      { numRuns: 300 },
    );
  });

  test('shows one penalty as a section, and no penalty as none', () => {
    expect(printConfig(load())).toContain('regularizer:\n  name: fourier\n');
    expect(printConfig(load(['regularizer=none']))).toContain('regularizer: none\n');
  });

  test('names a module by a path that holds in any folder', () => {
    const file = temporaryFile(
      'run.yaml',
      'model: m\nout: o\ndata: {source: d}\noptimizer: {use: ../mine.ts}\n',
    );
    const copy = temporaryFile('config.yaml', printConfig(loadConfig({ file })));
    expect(basename(copy)).toBe('config.yaml');
    expect(loadConfig({ file: copy })).toEqual(loadConfig({ file }));
  });
});
