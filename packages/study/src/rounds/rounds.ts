import type { Section } from '@flex/train';
import type { Reading, Round, RoundMaterial, RoundPart } from './round.ts';

const table1 = ['q_proj', 'v_proj', 'up_proj', 'down_proj'];
const attention = ['q_proj', 'v_proj'];
const mlp = ['gate_proj', 'up_proj', 'down_proj'];

/** A rate of the paper's as the model of a material has it: the bundled one takes ten times as much. */
export const rate = ({ isMicro }: RoundMaterial, lr: number) => (isMicro ? 10 * lr : lr);

/** The schedule of the scripts that train on MBPP: down to 1e-5 of 2e-4. */
const toTheTwentieth = { name: 'cosine', min_lr_ratio: 0.05 };

const paper = 'the paper';
const repository = "the paper's repository";

/** The modules that rounds 1, 3 and 4 adapt: Table 1's, or the two of the scripts. */
const targetsOf = (reading: Reading) => (reading === 'script' ? attention : table1);

const mbppBase = (reading: Reading, targets = targetsOf(reading)): Section => ({
  lora: { targets },
  ...(reading === 'script' && { schedule: toTheTwentieth }),
});

const scriptNotes = [
  'The script adds the gradients of four examples, each the mean over its own tokens; here it is the mean over the ' +
    'tokens of all four.',
  "The script's prompt has all tests of a row; here it has the first.",
];

/** Of rounds 4 and 5. */
const penaltyNote =
  "Of the script's penalty λ, T, φ and the modules were read, not its code; its transform is taken as the corrected one.";

const withScriptNotes = (reading: Reading, ...others: string[]) =>
  reading === 'script' ? [...scriptNotes, ...others] : [];

const fourier = (options: Section): Section => ({ regularizer: { name: 'fourier', ...options } });

/** Round 0: the model before any training. */
const baseline: Round = {
  title: 'The base model',
  make: (): RoundPart => ({
    // One update at rate 0: what is measured is the base model, by the path that every arm is measured by.
    base: {
      regularizer: 'none',
      schedule: { name: 'constant', warmup_steps: 1 },
      train: { epochs: 1, max_steps: 1, eval_every: 0 },
    },
    factors: { model: { base: {} } },
    seeds: 1,
    claims: [
      {
        text: 'HumanEval of the base model',
        figure: '34.15 % (56 of 164; published: 33.5 %)',
        source: paper,
      },
      {
        text: 'MultiPL-E Java of the base model',
        figure: '33.25 % (published: 34.2 %, 54 of 158)',
        source: paper,
      },
    ].map((claim, i) => ({ ...claim, arm: 'base', measure: i === 0 ? 'python' : 'java' })),
    notes: ['Code Llama Python 7B, which the paper has beside it, is a round 0 of its own: model=PATH.'],
  }),
};

/** Round 1: LoRA on MBPP, judged in Python. */
const lora: Round = {
  title: 'LoRA on MBPP, in Python',
  make: (reading) => ({
    base: { ...mbppBase(reading), regularizer: 'none' },
    factors: { adapter: { lora: {} } },
    seeds: 3,
    claims: [
      {
        text: 'LoRA on MBPP solves more of HumanEval than the base model',
        figure: '40.1 % against 34.15 %; no count of 164 gives 40.1 %',
        source: paper,
        arm: 'lora',
        against: 'base-model',
        measure: 'python',
      },
    ],
    notes: withScriptNotes(reading, 'Of this round no script was read; it is taken as that of round 3.'),
  }),
};

/** Round 2: AdamW against Sophia, on APPS. */
const optimizers: Round = {
  title: 'AdamW against Sophia, on APPS',
  make(reading, material) {
    const { apps, mbpp } = material;
    const isScript = reading === 'script';
    const sophia = { lr: rate(material, 1.6e-4), weight_decay: 0.01 };
    return {
      base: {
        data: {
          ...(apps?.train ?? mbpp.train),
          ...(isScript && { loss_on: 'all-and-padding', shuffle: true }),
          ...(apps && {
            template: { prompt: '### Problem:\n{question}\n\n### Solution:\n', completion: '{solution}' },
          }),
        },
        eval: [apps?.heldOut ?? mbpp.heldOut, material.java],
        lora: { targets: table1 },
        regularizer: 'none',
        schedule: { name: isScript ? 'constant' : 'cosine' },
        train: { grad_accumulation: apps ? 4 : 1, max_grad_norm: isScript ? null : 1 },
      },
      factors: {
        optimizer: {
          adamw: { optimizer: { name: 'adamw', lr: rate(material, 2e-4) } },
          sophia: {
            optimizer: isScript
              ? { name: 'lion', betas: [0.965, 0.965], ...sophia }
              : { name: 'sophia-g', ...sophia },
          },
        },
      },
      seeds: 3,
      claims: [
        {
          text: 'Sophia ends at a lower validation loss than AdamW, after some 30 % fewer steps',
          figure: '1.1504 against 1.2437 nats',
          source: paper,
          arm: 'sophia',
          against: 'adamw',
          measure: 'python',
        },
      ],
      notes: [
        apps
          ? 'Of the 361 problems of competition level the last 36 are held out; the paper draws them.'
          : 'Rows of MBPP, or those that stand in for it, stand in for APPS.',
        ...(isScript
          ? [
              'The script detaches the logits, so that its curvature is a constant and its Sophia the sign of the mean ' +
                'gradient, which is Lion with equal betas.',
              'The script makes a cosine schedule and never steps it: the rate is constant.',
            ]
          : []),
      ],
    };
  },
};

/** Round 3: the same adapters, judged in Java. */
const transfer: Round = {
  title: 'What training on Python does to Java',
  make(reading, material) {
    const lr = (value: number) => ({ 'optimizer.lr': rate(material, value) });
    const grid = {
      lora: {},
      'rank-4': { 'lora.rank': 4 },
      'rank-16': { 'lora.rank': 16 },
      'alpha-8': { 'lora.alpha': 8 },
      'alpha-32': { 'lora.alpha': 32 },
      'dropout-0': { 'lora.dropout': 0 },
      'dropout-0.1': { 'lora.dropout': 0.1 },
      'lr-1e-4': lr(1e-4),
      'lr-5e-4': lr(5e-4),
    };
    return {
      base: { ...mbppBase(reading), regularizer: 'none' },
      factors: { adapter: reading === 'script' ? grid : { lora: {} } },
      seeds: 3,
      isMerged: reading === 'script',
      claims: [
        {
          text: 'LoRA on MBPP solves less of MultiPL-E Java than the base model',
          figure: '31.5 % against 33.25 %',
          source: repository,
          arm: 'lora',
          against: 'base-model',
          measure: 'java',
        },
      ],
      notes: [
        'The paper also trains on APPS and on CodeSearchNet: levels more of a factor.',
        ...withScriptNotes(reading),
      ],
    };
  },
};

/** The configurations of the scripts of rounds 4 and 5, by what each changes. */
const scriptGrid = {
  'lambda-0.01': fourier({ lambda: 0.01 }),
  'lambda-0.05': fourier({ lambda: 0.05 }),
  'lambda-0.001': fourier({ lambda: 0.001 }),
  'threshold-0.3': fourier({ lambda: 0.01, threshold: 0.3 }),
  'threshold-0.7': fourier({ lambda: 0.01, threshold: 0.7 }),
  'all-linear': { ...fourier({ lambda: 0.01 }), 'lora.targets': 'all-linear', 'lora.rank': 16 },
  'rank-16': { ...fourier({ lambda: 0.03 }), 'lora.rank': 16 },
  mlp: { ...fourier({ lambda: 0.02 }), 'lora.targets': mlp },
  'phi-high-0.3': fourier({ lambda: 0.02, phi_high: 0.3 }),
} satisfies Section;

const gridNotes = [
  'A tenth configuration of the script is left out: its φ_low = 2 gives low frequencies a negative weight, which ' +
    'pays for growing.',
  'The figure is of one of ten adapters, told apart by the benchmark that it is of.',
];

const penaltyLevels = { none: { regularizer: 'none' }, fourier: fourier({ lambda: 0.02 }) };

/** Round 4: the penalty, its adapter folded into the weights. */
const merged: Round = {
  title: 'The Fourier penalty, adapter folded in',
  make(reading, { isMicro }) {
    const isScript = reading === 'script';
    const arm = isScript ? 'mlp' : 'fourier';
    return {
      base: mbppBase(reading),
      factors: { penalty: isScript ? scriptGrid : penaltyLevels },
      seeds: 3,
      isMerged: true,
      claims: [
        {
          text: 'with the penalty and folded in, MultiPL-E Java is solved no better than by the base model',
          figure: '32.93 % against 33.25 %',
          source: paper,
          arm,
          against: 'base-model',
          measure: 'java-merged',
        },
        {
          text: 'with the penalty and folded in, more of HumanEval is solved than by the base model',
          figure: '36.6 % against 34.15 %',
          source: repository,
          arm,
          against: 'base-model',
          measure: 'python-merged',
        },
      ],
      notes: [
        ...(isMicro
          ? ['Held-out losses are of the unmerged adapter; flex verify-merge tells what rounding does.']
          : []),
        ...withScriptNotes(reading, penaltyNote, ...gridNotes),
      ],
    };
  },
};

/** Round 5: the penalty, on the MLP's modules, unmerged. */
const unmerged: Round = {
  title: 'The Fourier penalty, adapter apart',
  make(reading) {
    const isScript = reading === 'script';
    const arm = isScript ? 'mlp' : 'fourier';
    return {
      base: mbppBase(reading, isScript ? attention : mlp),
      factors: { penalty: isScript ? scriptGrid : penaltyLevels },
      seeds: 3,
      claims: [
        {
          text: 'with the penalty, more of MultiPL-E Java is solved than by the base model',
          figure: '42.07 % against 34.2 %; no count of 158 gives 42.07 %, and 69 of 164 does',
          source: paper,
          arm,
          against: 'base-model',
          measure: 'java',
        },
        {
          text: 'with the penalty, more of MultiPL-E Java is solved than by LoRA without one',
          figure: '42.1 % against 31.5 %',
          source: repository,
          arm,
          against: isScript ? 'unpenalized+mlp' : 'none',
          measure: 'java',
        },
        {
          text: 'with the penalty, as much of HumanEval is solved as by LoRA without one',
          figure: '39.8 % against 40.1 %',
          source: repository,
          arm,
          against: isScript ? 'unpenalized+mlp' : 'none',
          measure: 'python',
        },
      ],
      notes: withScriptNotes(reading, penaltyNote, ...gridNotes),
    };
  },
};

/** The paper's rounds, by their numbers. */
export const rounds: readonly Round[] = [baseline, lora, optimizers, transfer, merged, unmerged];
