import { type KeyPath, pathTo } from '@flex/base';
import { readSplit, splitSyntax } from '@flex/datasets';
import { isPattern, loraInits, type StandIn } from '@flex/peft';
import { z } from 'zod';
import { isSection, type Section } from './config-section.ts';
import { type PartInput, type PartKind, type PartSection, partKinds } from './parts.ts';

const text = z.string().min(1);
const source = pathTo('dataset').describe('a path or a name');

const split = z
  .union([z.string(), z.int().nonnegative()])
  .transform(String)
  .refine((value) => readSplit(value))
  .describe(splitSyntax)
  .nullable();

const template = z
  .strictObject({ prompt: z.string(), completion: text })
  .describe('a section with the keys prompt and completion')
  .nullable()
  .default(null);

const lossOn = z.enum(['completion', 'all', 'all-and-padding']);
const maxLength = z.int().min(2);

const data = ({ format }: PartSchemas) =>
  z.strictObject({
    source,
    /** Null leaves it to the data: `train` for rows with MBPP's task ids, else `all`. */
    split: split.default(null),
    format,
    template,
    maxLength: maxLength.default(512),
    shuffle: z.boolean().default(true),
    packing: z.boolean().default(false),
    /** Whether rows may be trained on that are held out too. */
    allowOverlap: z.boolean().default(false),
    appendEos: z.boolean().default(true),
    lossOn: lossOn.default('completion'),
  });

/**
 * Held-out data. Its loss is that of the completion alone without an end-of-text token whatever is trained
 * on, so that runs of different presets stay comparable; so is it whole: `maxLength` null is the model's context.
 */
const heldOutSchema = (format: FormatSchema) =>
  z
    .strictObject({
      source,
      split: split.default(null),
      format,
      template,
      maxLength: maxLength.nullable().default(null),
      appendEos: z.boolean().default(false),
      lossOn: lossOn.default('completion'),
    })
    .refine(({ lossOn, maxLength }) => lossOn !== 'all-and-padding' || maxLength !== null, {
      path: ['maxLength'],
      error: 'must be given with loss_on: all-and-padding, which fills every row up to it',
    })
    .describe('a section such as {source: mbpp.jsonl, split: 511-600}');

type HeldOut = ReturnType<typeof heldOutSchema>;

const names = z.union([text, z.array(text).min(1)]).describe('a pattern, or a list of names');

const tokens = z.array(z.int().nonnegative()).min(1);

const loraKeys = {
  rank: z.int().min(1),
  alpha: z.number().positive(),
  dropout: z.number().min(0).lt(1),
  targets: z
    .union([
      z.enum(['mlp', 'attention', 'all-linear']),
      text.refine(isPattern), // of whole paths
      z.array(text).min(1),
    ])
    .describe('mlp, attention, all-linear, a pattern of paths, or a list of module names or globs'),
  scaling: z.enum(['alpha/r', 'alpha', 'alpha/sqrt(r)']),
  init: z.enum(loraInits),
  dora: z.boolean(),
  /** A bias of B. */
  loraBias: z.boolean(),
  /** Of the model's own biases. */
  bias: z.enum(['none', 'all', 'lora_only']),
  rankPattern: z.record(text, z.int().min(1)),
  alphaPattern: z.record(text, z.number().positive()),
  excludeModules: names,
  layersToTransform: z
    .union([z.int().min(0), z.array(z.int().min(0)).min(1)])
    .describe('the number of a layer, or a list of them'),
  layersPattern: names,
  modulesToSave: z.array(text).min(1).describe('a list of names of modules'),
  trainableTokenIndices: z
    .union([tokens, z.strictObject({ embed_tokens: tokens, lm_head: tokens }).partial()])
    .describe('a list of token ids, or a section with one for embed_tokens and one for lm_head'),
  ensureWeightTying: z.boolean(),
};

/** A fresh adapter: every key has a value. */
const freshLora = z
  .strictObject({
    rank: loraKeys.rank.default(8),
    alpha: loraKeys.alpha.default(16),
    dropout: loraKeys.dropout.default(0.05),
    targets: loraKeys.targets.default('mlp'),
    scaling: loraKeys.scaling.default('alpha/r'),
    init: loraKeys.init.default('kaiming'),
    dora: loraKeys.dora.default(false),
    loraBias: loraKeys.loraBias.default(false),
    bias: loraKeys.bias.default('none'),
    rankPattern: loraKeys.rankPattern.optional(),
    alphaPattern: loraKeys.alphaPattern.optional(),
    excludeModules: loraKeys.excludeModules.optional(),
    layersToTransform: loraKeys.layersToTransform.optional(),
    layersPattern: loraKeys.layersPattern.optional(),
    modulesToSave: loraKeys.modulesToSave.optional(),
    trainableTokenIndices: loraKeys.trainableTokenIndices.optional(),
    ensureWeightTying: loraKeys.ensureWeightTying.optional(),
  })
  .refine(
    ({ scaling, rankPattern = {}, alphaPattern = {} }) =>
      scaling !== 'alpha' || Object.keys({ ...rankPattern, ...alphaPattern }).length === 0,
    {
      path: ['scaling'],
      error: 'alpha with rank_pattern or alpha_pattern cannot be saved; take alpha/r or alpha/sqrt(r)',
    },
  )
  .prefault({});

/** The adapter that training continues decides; only what the user gave is kept, and must agree with it. */
const givenLora = z.strictObject(loraKeys).partial().prefault({});

const train = z
  .strictObject({
    batchSize: z.int().min(1).default(4),
    gradAccumulation: z.int().min(1).default(1),
    epochs: z.int().min(1).default(3),
    maxSteps: z.int().min(1).nullable().default(null),
    maxGradNorm: z.number().positive().nullable().default(1),
    seed: z.int().min(0).max(0xffffffff).default(0),
    evalEvery: z.int().min(0).default(100),
    saveEvery: z.int().min(0).default(100),
    spectrumEvery: z.int().min(0).default(100),
    /** The last so many, and that of the best update; null keeps all. */
    keepCheckpoints: z.int().min(1).nullable().default(null),
    /** The held-out data whose loss tells the best update; null: the mean of all. */
    bestBy: text.nullable().default(null),
    /** Evaluations without a lower held-out loss after which the run ends; null: none. */
    patience: z.int().min(1).nullable().default(null),
    /** The layers, from the first on, that are computed again in the backward pass; `auto`: as many as it takes. */
    checkpointActivations: z
      .union([z.boolean(), z.literal('auto'), z.int().min(0)])
      .describe('auto, true, false or a number of layers')
      .default('auto'),
  })
  .prefault({});

const modelPath = pathTo('model').describe(
  'the path of a Hugging Face directory, or a name such as org/name',
);
const quantize = z.enum(['int8', 'nf4']).nullable().default(null);

/** A model by itself, or a section that also says how its linear layers but the head are stored. */
const modelSchema = (given: unknown) =>
  (isSection(given)
    ? z.strictObject({ path: modelPath, quantize })
    : modelPath.transform((path) => ({ path, quantize: null }))) as z.ZodType<
    { path: string; quantize: z.output<typeof quantize> },
    string | { path: string; quantize?: z.input<typeof quantize> }
  >;

/** The schemas of the parts that a configuration names, each put together from the parts' own. */
export interface PartSchemas {
  readonly model: ReturnType<typeof modelSchema>;
  readonly optimizer: Prefault<OptimizerSection, PartInput<'optimizer'>>;
  readonly schedule: Prefault<PartSection, PartInput<'schedule'>>;
  readonly regularizer: Prefault<RegularizerSection[], 'none' | OneOrMore<PartInput<'regularizer'>>>;
  readonly callbacks: Prefault<PartSection[], OneOrMore<PartInput<'callback'>>>;
  readonly format: FormatSchema;
  readonly eval: Prefault<z.output<HeldOut>[], OneOrMore<z.input<HeldOut>>>;
}

/** How rows are to be read: `auto` tells them apart by their keys. */
type FormatSchema = Prefault<string | PartSection, string | PartInput<'format'>>;

type Prefault<Output, Input> = z.ZodPrefault<z.ZodType<Output, Input>>;
type OneOrMore<T> = T | readonly T[];

/** LoRA+'s ratio of the learning rates of B and A. */
interface OptimizerSection extends PartSection {
  readonly loraPlusRatio: number;
}

/**
 * λ, where λ·L enters: in the loss, or as a decoupled step that the optimizer does not precondition; and what
 * stands in for the penalty.
 */
interface RegularizerSection extends PartSection {
  readonly lambda: number;
  readonly enters: 'loss' | 'decoupled';
  readonly control?: StandIn;
}

function runSchema<A extends z.ZodType, L extends z.ZodType>(parts: PartSchemas, adapter: A, lora: L) {
  return z
    .strictObject({
      preset: z.enum(['corrected', 'paper', 'author-script']).default('corrected'),
      model: parts.model,
      adapter,
      data: data(parts),
      out: pathTo('output').describe('the path of the folder to write to'),
      dtype: z
        .enum(['f32', 'f16'], {
          error: ({ input }) => (input === 'bf16' ? 'bf16 is not built yet; take f32 or f16' : undefined),
        })
        .default('f16'),
      lora,
      optimizer: parts.optimizer,
      schedule: parts.schedule,
      regularizer: parts.regularizer,
      train,
      eval: parts.eval,
      callbacks: parts.callbacks,
    })
    .transform(({ preset, model: { path, quantize }, ...rest }) => ({
      preset,
      model: path,
      quantize,
      ...rest,
    }));
}

/** The configuration of a run that starts from a fresh adapter. */
export const freshSchema = (parts: PartSchemas) => runSchema(parts, z.null().default(null), freshLora);

/** The configuration of a run that continues an adapter. */
export const continuedSchema = (parts: PartSchemas) =>
  runSchema(parts, pathTo('adapter').describe('the path of a PEFT adapter'), givenLora);

/** The schemas of the parts that the values name, each of which `schemaOf` gives. */
export async function partSchemas(
  values: Section,
  schemaOf: (kind: PartKind, section: unknown, path: KeyPath) => Promise<z.ZodType>,
): Promise<PartSchemas> {
  const listOf = async (
    list: unknown,
    each: (entry: unknown, index: number) => z.ZodType | Promise<z.ZodType>,
    need: string,
  ) => {
    const entries = Array.isArray(list)
      ? z.tuple((await Promise.all(list.map(each))) as [])
      : z.array(z.any());
    return entries.describe(need);
  };
  const formatOf = (section: unknown, path: KeyPath) => {
    const format = isSection(section) ? section.format : undefined;
    if (isSection(format)) return schemaOf('format', format, [...path, 'format']);
    return z.enum(['auto', ...partKinds.format.parts.map(({ name }) => name)]).default('auto');
  };
  const { model, data, optimizer, schedule, regularizer, callbacks, eval: heldOut } = values;
  const schemas = {
    model: modelSchema(model),
    format: await formatOf(data, ['data']),
    optimizer: await schemaOf('optimizer', optimizer, ['optimizer']),
    schedule: await schemaOf('schedule', schedule, ['schedule']),
    regularizer: await listOf(
      regularizer,
      (part, i) => schemaOf('regularizer', part, ['regularizer', i]),
      'none, a section such as {name: fourier}, or a list of such sections',
    ),
    callbacks: await listOf(
      callbacks,
      (part, i) => schemaOf('callback', part, ['callbacks', i]),
      'a section such as {use: ./module.ts}, or a list of such sections',
    ),
    eval: await listOf(
      heldOut,
      async (entry, i) => heldOutSchema((await formatOf(entry, ['eval', i])) as unknown as FormatSchema),
      'a section such as {source: mbpp.jsonl, split: 511-600}, or a list of such',
    ),
  };
  return schemas as unknown as PartSchemas;
}
