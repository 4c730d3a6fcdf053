import { completionFormats, readSplit, splitSyntax } from '@flex/datasets';
import { z } from 'zod';
import {
  above,
  atLeast,
  belowOne,
  between,
  expected,
  flag,
  oneOf,
  section,
  share,
  text,
  unknownName,
  whole,
} from './config-values.ts';
import { type Preset, type PresetName, presets } from './presets.ts';

const split = z
  .union([z.string(), z.int().nonnegative()], { error: expected(splitSyntax) })
  .transform(String)
  .refine((value) => readSplit(value), { error: expected(splitSyntax) })
  .nullable();

const template = z
  .strictObject(
    { prompt: z.string({ error: expected('a text') }), completion: text('a text') },
    section('a section with the keys prompt and completion'),
  )
  .nullable()
  .default(null);

/** How rows are to be read; `auto` tells them apart by their keys. */
const format = oneOf(['auto', ...completionFormats.map(({ name }) => name)]).default('auto');
const lossOn = oneOf(['completion', 'all', 'all-and-padding']);
const maxLength = whole(2).default(512);

const data = (preset: Preset) =>
  z.strictObject(
    {
      source: text('a path or a name'),
      split: split.default(preset.split),
      format,
      template,
      max_length: maxLength,
      shuffle: flag().default(true),
      append_eos: flag().default(preset.append_eos),
      loss_on: lossOn.default(preset.loss_on),
    },
    section(),
  );

/**
 * Held-out data. Its loss is that of the completion alone without an end-of-text token whatever is trained
 * on, so that runs of different presets stay comparable; `max_length` left out is that of `data`.
 */
const heldOut = z.strictObject(
  {
    source: text('a path or a name'),
    split: split.default(null),
    format,
    template,
    max_length: maxLength,
    append_eos: flag().default(false),
    loss_on: lossOn.default('completion'),
  },
  section('a section such as {source: mbpp.jsonl, split: 511-600}'),
);

/** Where λ·L enters: in the loss, or as a decoupled step that the optimizer does not precondition. */
const enters = oneOf(['loss', 'decoupled']).default('loss');

/** The Fourier penalty L = Σ_k ρ(k)·|ŵ_k|² and the readings of it that the paper leaves open. */
const fourier = (preset: Preset) =>
  z.strictObject({
    name: z.literal('fourier'),
    lambda: atLeast(0).default(0.02),
    /** T: the share of the spectrum at which φ reaches phi_high. */
    threshold: share().default(0.5),
    phi_low: between(0, 1).default(1),
    phi_high: between(0, 1).default(0.1),
    /** The scale of the transform: 1/√N, none, or the mean of the penalty over bins. */
    norm: oneOf(['ortho', 'backward', 'mean']).default(preset.norm),
    /** What T is a share of: the rfft's bins, or the signal's length. */
    n: oneOf(['bins', 'length']).default('bins'),
    /** The weight of bin k. */
    rho: oneOf(['1-phi', 'phi']).default('1-phi'),
    /** `two` counts the interior bins twice, for the half of the spectrum that the rfft leaves out. */
    sides: oneOf(['one', 'two']).default('one'),
    /** φ from phi_low to phi_high: linear up to T, or at once at T. */
    ramp: oneOf(['ramp', 'step']).default('ramp'),
    /** What is transformed: each A and B, one of them, B·A, all as one, or the change since the start. */
    scope: oneOf(['each', 'a', 'b', 'product', 'concatenated', 'change']).default('each'),
    /** How a matrix becomes a signal: row-major, column-major, each row alone, or permuted by a seed. */
    order: oneOf(['row', 'column', 'each-row', 'permuted']).default('row'),
    permutation_seed: whole(0, 0xffffffff).default(0),
    enters,
  });

const l2 = z.strictObject({ name: z.literal('l2'), lambda: atLeast(0).default(0.02), enters });

const adamw = z.strictObject({
  name: z.literal('adamw'),
  lr: above(0).default(2e-4),
  betas: z
    .tuple([belowOne(), belowOne()], { error: expected('a list of two numbers such as [0.9, 0.999]') })
    .default([0.9, 0.999]),
  eps: above(0).default(1e-8),
  weight_decay: atLeast(0).default(0.01),
});

/** A part of the user's own: the module that makes it, and that module's options, which it checks itself. */
const own = z.looseObject({
  name: z.undefined().optional(),
  use: text('the path of a module, such as ./my-part.ts'),
});

/** The message for a part that is no section, or that has a name nobody knows. */
function unknownPart(names: readonly string[], unbuilt: readonly string[] = []) {
  return ({ code, input }: { readonly code?: string; readonly input?: unknown }) =>
    code === 'invalid_union'
      ? unknownName((input as { readonly name?: unknown }).name, names, unbuilt)
      : expected(`a section such as {name: ${names[0]}} or {use: ./module.ts}`)({ input });
}

const regularizer = (preset: Preset) =>
  z.discriminatedUnion('name', [fourier(preset), l2, own], { error: unknownPart(['fourier', 'l2']) });

const optimizer = z.discriminatedUnion('name', [adamw, own], {
  error: unknownPart(['adamw'], ['sophia-g', 'sophia-h', 'lion', 'sgd']),
});

const loraKeys = {
  rank: whole(1),
  alpha: above(0),
  dropout: belowOne(),
  targets: z.union([z.enum(['mlp', 'attention', 'all-linear']), z.array(z.string().min(1)).min(1)], {
    error: expected('mlp, attention, all-linear, or a list of module names or globs'),
  }),
  scaling: oneOf(['alpha/r', 'alpha', 'alpha/sqrt(r)']),
};

/** A fresh adapter: every key has a value. */
const freshLora = (preset: Preset) =>
  z
    .strictObject(
      {
        rank: loraKeys.rank.default(8),
        alpha: loraKeys.alpha.default(16),
        dropout: loraKeys.dropout.default(0.05),
        targets: loraKeys.targets.default('mlp'),
        scaling: loraKeys.scaling.default(preset.scaling),
      },
      section(),
    )
    .prefault({});

/** The adapter that training continues decides; only what the user gave is kept, and must agree with it. */
const givenLora = z.strictObject(loraKeys, section()).partial().prefault({});

const schedule = z
  .strictObject(
    {
      name: oneOf(['cosine', 'linear', 'constant']).default('cosine'),
      warmup_steps: whole(0).default(0),
      min_lr_ratio: between(0, 1).default(0),
    },
    section(),
  )
  .prefault({});

const train = z
  .strictObject(
    {
      batch_size: whole(1).default(4),
      grad_accumulation: whole(1).default(1),
      epochs: whole(1).default(3),
      max_steps: whole(1).nullable().default(null),
      max_grad_norm: above(0).nullable().default(1),
      seed: whole(0, 0xffffffff).default(0),
      eval_every: whole(0).default(100),
      save_every: whole(0).default(100),
      checkpoint_activations: z
        .union([z.boolean(), z.literal('auto')], { error: expected('auto, true or false') })
        .default('auto'),
    },
    section(),
  )
  .prefault({});

const presetNames = Object.keys(presets) as PresetName[];

function whichever<A extends z.ZodType, L extends z.ZodType>(preset: Preset, adapter: A, lora: L) {
  return z.strictObject({
    preset: oneOf(presetNames).default('corrected'),
    model: text('the path of a Hugging Face directory, or a name such as org/name'),
    adapter,
    data: data(preset),
    out: text('the path of the folder to write to'),
    dtype: oneOf(['f32', 'f16'], ['bf16']).default('f16'),
    lora,
    optimizer,
    schedule,
    regularizer: z.array(regularizer(preset), {
      error: expected('none, a section such as {name: fourier}, or a list of such sections'),
    }),
    train,
    eval: z.array(heldOut, {
      error: expected('a section such as {source: mbpp.jsonl, split: 511-600}, or a list of such'),
    }),
  });
}

/** The configuration of a run that starts from a fresh adapter, with the preset's defaults. */
export const freshSchema = (preset: Preset) => whichever(preset, z.null().default(null), freshLora(preset));

/** The configuration of a run that continues an adapter. */
export const continuedSchema = (preset: Preset) =>
  whichever(preset, text('the path of a PEFT adapter'), givenLora);
