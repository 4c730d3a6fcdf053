import { DataError, printable } from '@flex/base';
import * as z from 'zod';
import { count, factor, finite, positive } from './families/rules.ts';
import { checkContent, requireSpelled } from './read-json.ts';

/** How rotary frequencies are changed for contexts longer than those of pretraining. */
export type RopeScaling =
  | { readonly type: 'linear'; readonly factor: number }
  | ({ readonly type: 'dynamic'; readonly factor: number } & Pretrained)
  | ({
      readonly type: 'llama3';
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
    } & Pretrained)
  | ({
      readonly type: 'yarn';
      readonly factor: number;
      readonly attentionFactor: number;
      /** Turns in the context of pretraining from which a frequency is kept, up to which it is divided. */
      readonly betaFast: number;
      readonly betaSlow: number;
      /** Whether the pairs at which that happens are rounded outwards to whole ones. */
      readonly truncate: boolean;
    } & Pretrained)
  | ({
      readonly type: 'longrope';
      readonly attentionFactor: number;
      /** A divisor of each frequency, for texts within the context of pretraining and for longer ones. */
      readonly shortFactors: readonly number[];
      readonly longFactors: readonly number[];
    } & Pretrained);

interface Pretrained {
  /** Context of pretraining, in tokens. */
  readonly originalMaxPositions: number;
}

export const wholeHead = z.literal(1, 'must be 1: partly rotated heads are not supported').optional();

const flat = z.custom((value) => typeof value !== 'object' || value === null || Array.isArray(value), {
  message: 'must not be an object: rotary embeddings by the type of layer are not supported',
});

/** `rope_scaling` and `rope_parameters`, whatever the scaling. */
export const ropeSchema = z
  .object({
    rope_type: z.string().optional(),
    /** The name of rope_type in older files. */
    type: z.string().optional(),
    rope_theta: positive.optional(),
    partial_rotary_factor: wholeHead,
  })
  .catchall(flat);

const linearSchema = z.object({ factor });
const pretrained = { original_max_position_embeddings: count };

const llama3Schema = z
  .object({ factor, low_freq_factor: positive, high_freq_factor: positive, ...pretrained })
  .refine((rope) => rope.high_freq_factor > rope.low_freq_factor, {
    path: ['high_freq_factor'],
    message: 'must be greater than low_freq_factor',
  });

const yarnSchema = z.object({
  factor: factor.nullable(),
  attention_factor: finite.nullish(),
  mscale: finite.nullish(),
  mscale_all_dim: finite.nullish(),
  beta_fast: positive.nullish(),
  beta_slow: positive.nullish(),
  truncate: z.boolean().default(true),
  ...pretrained,
});

const longropeSchema = (pairs: number) => {
  const factorsRule = `must be ${pairs} numbers > 0, one for each pair of a head`;
  const factors = z.array(positive, factorsRule).length(pairs, factorsRule);
  return z.object({
    factor: factor.nullish(),
    attention_factor: finite.nullish(),
    short_factor: factors,
    long_factor: factors,
    ...pretrained,
  });
};

/** All keys that a scaling may have. */
const ropeKeys = [ropeSchema, linearSchema, llama3Schema, yarnSchema, longropeSchema(1)].flatMap(
  ({ shape }) => Object.keys(shape),
);

type RopeJson = z.infer<typeof ropeSchema>;

/** What of config.json makes the rotary embeddings. */
export interface RopeKeys {
  readonly max_position_embeddings: number;
  readonly rope_theta?: number;
  readonly rope_scaling?: RopeJson | null;
  readonly rope_parameters?: RopeJson | null;
  readonly original_max_position_embeddings?: number | null;
}

/** How positions turn queries and keys. */
export interface Rope {
  readonly ropeTheta: number;
  readonly ropeScaling: RopeScaling | null;
}

/**
 * As transformers reads a file with both layouts: a `rope_scaling` that says something is the only one read.
 */
export function readRope(path: string, json: RopeKeys, headDim: number): Rope {
  const key = Object.keys(json.rope_scaling ?? {}).length > 0 ? 'rope_scaling' : 'rope_parameters';
  const rope = json[key];
  requireSpelled(path, rope ?? {}, ropeKeys);
  const outer = json.rope_theta;
  const inner = rope?.rope_theta;
  if (outer !== undefined && inner !== undefined && outer !== inner) {
    throw new DataError(
      `${path}: "rope_theta" is ${outer}, but "${key}.rope_theta" is ${inner}; they must agree`,
    );
  }
  const ropeTheta = inner ?? outer ?? 10000;
  return { ropeTheta, ropeScaling: readScaling(path, key, json, { ropeTheta, headDim }) };
}

function readScaling(
  path: string,
  key: 'rope_scaling' | 'rope_parameters',
  json: RopeKeys,
  { ropeTheta, headDim }: { ropeTheta: number; headDim: number },
): RopeScaling | null {
  const rope = json[key];
  const type = rope?.rope_type ?? rope?.type ?? 'default';
  const max = json.max_position_embeddings;
  // As in transformers: a context of pretraining beside the layout counts for more than one inside it, and
  // without either it is the model's own.
  const outer = json.original_max_position_embeddings;
  const given = { original_max_position_embeddings: max, ...rope };
  const whole = outer === undefined ? given : { ...given, original_max_position_embeddings: outer };
  const read = <T>(schema: z.ZodType<T>): T => checkContent(path, [key], whole, schema);
  const refuse = (why: string): never => {
    throw new DataError(`${path}: "${key}.rope_type" is ${printable(type)}, which ${why}`);
  };
  switch (type) {
    case 'default':
      return null;
    case 'linear':
      return { type, factor: read(linearSchema).factor };
    case 'dynamic':
      if (headDim === 2) refuse('needs heads of more than 2 numbers');
      return { type, factor: read(linearSchema).factor, originalMaxPositions: max };
    case 'llama3': {
      const found = read(llama3Schema);
      return {
        type,
        factor: found.factor,
        lowFreqFactor: found.low_freq_factor,
        highFreqFactor: found.high_freq_factor,
        originalMaxPositions: found.original_max_position_embeddings,
      };
    }
    case 'yarn': {
      if (ropeTheta === 1) refuse('needs a rope_theta other than 1');
      const found = read(yarnSchema);
      const originalMaxPositions = found.original_max_position_embeddings;
      const stretch = found.factor ?? max / originalMaxPositions;
      const { mscale, mscale_all_dim: mscaleAllDim } = found;
      const warmth = (m: number) => (stretch <= 1 ? 1 : 0.1 * m * Math.log(stretch) + 1);
      return {
        type,
        factor: stretch,
        attentionFactor:
          found.attention_factor ??
          (mscale && mscaleAllDim ? warmth(mscale) / warmth(mscaleAllDim) : warmth(1)),
        betaFast: found.beta_fast ?? 32,
        betaSlow: found.beta_slow ?? 1,
        truncate: found.truncate,
        originalMaxPositions,
      };
    }
    case 'longrope': {
      const found = read(longropeSchema(headDim / 2));
      const originalMaxPositions = found.original_max_position_embeddings;
      const stretch = found.factor ?? max / originalMaxPositions;
      if (stretch > 1 && originalMaxPositions === 1 && found.attention_factor == null) {
        refuse('needs a context of pretraining of more than 1 token, or an attention_factor');
      }
      return {
        type,
        attentionFactor:
          found.attention_factor ??
          (stretch <= 1 ? 1 : Math.sqrt(1 + Math.log(stretch) / Math.log(originalMaxPositions))),
        shortFactors: found.short_factor,
        longFactors: found.long_factor,
        originalMaxPositions,
      };
    }
    default:
      return refuse('is not supported; default, linear, dynamic, yarn, longrope and llama3 are');
  }
}
