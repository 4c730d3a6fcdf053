import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { valueAndGrad } from '@flex/autograd';
import {
  type CausalLM,
  forward,
  generate,
  generateAll,
  loadModel,
  logits,
  lossSum,
  readConfig,
  scoredTokens,
  type TokenBatch,
  weightShapes,
} from '@flex/llama';
import {
  type AdapterWeights,
  emptyAdapter,
  flattenWeights,
  type LoraConfig,
  peftName,
  resolveLora,
  resolveTargets,
  unflattenWeights,
  withAdapter,
} from '@flex/peft';
import { type Backend, scope, size, type Tensor, tensor } from '@flex/tensor';
import { type FloatDType, fromFloat32 } from '@flex/tensor/safetensors';

/** What transformers' `generate` was told. */
interface GenerateKeys {
  readonly max_new_tokens: number;
  readonly num_beams?: number;
  readonly length_penalty?: number;
  readonly early_stopping?: boolean | 'never';
  readonly repetition_penalty?: number;
}

/** A random model of some family as transformers and PEFT run it; `fixtures/families/make.py` says more. */
export interface FamilyCase {
  readonly key: string;
  readonly config: { readonly model_type: string };
  readonly generation: object | null;
  readonly stored: {
    readonly dtype: FloatDType;
    readonly tied: 'embed_tokens' | 'lm_head' | 'both' | 'different';
  };
  readonly ids: readonly (readonly number[])[];
  readonly labels: readonly (readonly number[])[];
  readonly logits: readonly number[];
  readonly lora: {
    readonly r: number;
    readonly lora_alpha: number;
    readonly target_modules: string | readonly string[];
    readonly use_rslora: boolean;
    readonly use_dora: boolean;
  };
  readonly loss: number;
  readonly grads: readonly (readonly [norm: number, projection: number])[];
  readonly texts: readonly (readonly [prompt: number[], told: GenerateKeys, ids: number[]])[];
}

/** How far a model of ours is from transformers'. */
export interface FamilyDistance {
  /** The largest |ours − theirs|, by 1 or, where it is larger, the largest |theirs|. */
  readonly logits: number;
  /** |ours − theirs| of the mean loss. */
  readonly loss: number;
  /**
   * The largest of |‖g‖ − ‖g′‖| and |Σ g·u − Σ g′·u|, where u is of deviation 1/√3, by ‖g′‖ and a thousandth
   * of the largest ‖g′‖: of softmaxes that leave nothing open there are gradients of noise alone.
   */
  readonly grads: number;
  /** Ours beside theirs, where they differ. */
  readonly texts: readonly string[];
}

/** What of a distance is more than another order of additions makes, a line each. */
export function tooFar({ logits, loss, grads, texts }: FamilyDistance): string[] {
  const limits = { logits: [logits, 5e-5], loss: [loss, 1e-5], grads: [grads, 1e-3] } as const;
  const lines = Object.entries(limits).map(([what, [x, limit]]) =>
    x <= limit ? [] : [`${what}: ${x.toExponential(1)} off, at most ${limit} is right`],
  );
  return [...lines.flat(), ...texts];
}

/** The cases in a folder that make.py wrote. */
export const readFamilyCases = (dir: string): readonly FamilyCase[] =>
  readFileSync(join(dir, 'cases.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as FamilyCase);

/**
 * Writes a case's model into `dir` and compares what a backend makes of it, its matrices in f32, with what
 * the case says. Throws what loading it throws, and where the adapter's tensors are not as many as PEFT's.
 */
export async function compareFamilyCase(
  backend: Backend,
  dir: string,
  familyCase: FamilyCase,
): Promise<FamilyDistance> {
  writeModel(dir, familyCase);
  const model = await loadModel(backend, dir, { dtype: 'f32' });
  const shared = scope(() => adapterOf(model, familyCase));
  try {
    return {
      logits: await logitDistance(model, familyCase),
      ...(await gradientDistance(model, shared, familyCase)),
      texts: await differentTexts(model, familyCase),
    };
  } finally {
    for (const t of flattenWeights(shared.weights).values()) t.dispose();
    model.dispose();
  }
}

/** Multiples of 1/128 in [−1, 1), by make.py's formula. */
function numbers(key: string, name: string, count: number): Float32Array {
  let start = 2166136261;
  for (const byte of new TextEncoder().encode(`${key}:${name}`)) start = Math.imul(start ^ byte, 16777619);
  return Float32Array.from({ length: count }, (_, i) => {
    let x = start + Math.imul(i, 0x9e3779b9);
    x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
    x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
    return (((x ^ (x >>> 16)) >>> 24) - 128) / 128;
  });
}

function weightOf(key: string, name: string, shape: readonly number[]): Float32Array {
  const u = numbers(key, name, size(shape));
  if (/(norm\.weight|lora_magnitude_vector)$/.test(name)) return u.map((x) => 1 + Math.floor(32 * x) / 128);
  if (shape.length === 1 || name.includes('lora_B')) return u.map((x) => x / 4);
  if (name.includes('embed_tokens')) return u;
  const half = Math.floor((31 - Math.clz32(shape[1])) / 2);
  const scale = 2 ** ((/[qk]_proj/.test(name) ? 0 : 1) - half);
  return u.map((x) => x * scale);
}

/** Writes the model's files, without waiting for the disk. */
function writeModel(dir: string, { key, config, generation, stored }: FamilyCase): void {
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, 'config.json'), JSON.stringify(config));
  if (generation) writeFileSync(join(dir, 'generation_config.json'), JSON.stringify(generation));
  const read = readConfig(dir);
  const tables = ['model.embed_tokens.weight', 'lm_head.weight'];
  const [own, other] = stored.tied === 'lm_head' ? tables.reverse() : tables;
  const header: Record<string, object> = {};
  const bytes: Uint8Array[] = [];
  let end = 0;
  for (const [name, shape] of weightShapes(read)) {
    const isOther = read.tieWordEmbeddings && name === other;
    if (isOther && (stored.tied === 'embed_tokens' || stored.tied === 'lm_head')) continue;
    const source = isOther && stored.tied === 'both' ? own : name;
    const values = fromFloat32(name, stored.dtype, weightOf(key, source, shape));
    bytes.push(new Uint8Array(values.buffer));
    header[name] = { dtype: stored.dtype, shape, data_offsets: [end, end + values.byteLength] };
    end += values.byteLength;
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(join(dir, 'model.safetensors'), Buffer.concat([length, text, ...bytes]));
}

/** The adapter of a case on its model. */
function adapterOf(model: CausalLM, { key, lora }: FamilyCase) {
  const config: LoraConfig = {
    rank: lora.r,
    alpha: lora.lora_alpha,
    dropout: 0,
    targets: lora.target_modules,
    scaling: lora.use_rslora ? 'alpha/sqrt(r)' : 'alpha/r',
    dora: lora.use_dora,
  };
  const empty = emptyAdapter(model, config, resolveTargets(config.targets, model.linears));
  const filled = [...flattenWeights(empty)].map(([name, { shape }]): [string, Tensor] => [
    name,
    tensor(model.backend, weightOf(key, peftName(name), shape), shape),
  ]);
  const weights = unflattenWeights(new Map(filled));
  return { weights, resolved: resolveLora(config, weights.params, model) };
}

const tokens = (rows: readonly (readonly number[])[]) => Int32Array.from(rows.flat());

async function logitDistance(model: CausalLM, { ids, logits: wanted }: FamilyCase): Promise<number> {
  const input = tensor(model.backend, tokens(ids), [ids.length, ids[0].length], 'i32');
  const result = scope(() => logits(model, forward(model, input)));
  const found = await result.data();
  for (const t of [input, result]) t.dispose();
  const errors = wanted.map((x, k) => Math.abs(found[(7919 * k + 13) % found.length] - x));
  return Math.max(...errors) / Math.max(1, ...wanted.map(Math.abs));
}

async function gradientDistance(
  model: CausalLM,
  { weights, resolved }: ReturnType<typeof adapterOf>,
  { key, ids, labels, loss, grads: wanted }: FamilyCase,
): Promise<Pick<FamilyDistance, 'loss' | 'grads'>> {
  const t = Math.min(ids[0].length, model.config.maxPositions);
  const cut = (rows: typeof ids) => tokens(rows.map((row) => row.slice(0, t)));
  const batch: TokenBatch = { b: ids.length, t, input_ids: cut(ids), labels: cut(labels) };
  const count = scoredTokens(batch);
  const { value, grads } = valueAndGrad(
    (at: AdapterWeights) => lossSum(withAdapter(model, at, resolved), batch),
    weights,
  );
  const found = [...flattenWeights(grads)]
    .map(([name, g]) => ({ name: peftName(name), g }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  if (found.length !== wanted.length)
    throw new Error(`PEFT trains ${wanted.length} tensors, here are ${found.length}`);
  const largest = Math.max(...wanted.map(([norm]) => norm));
  let worst = 0;
  for (const [i, { name, g }] of found.entries()) {
    const data = Float64Array.from(await g.data(), (x) => x / count);
    const u = numbers(key, `grad:${name}`, data.length);
    const [norm, projection] = wanted[i];
    const ours = [Math.hypot(...data), data.reduce((sum, x, j) => sum + x * u[j], 0)];
    const distance = Math.max(Math.abs(ours[0] - norm), Math.abs(ours[1] - projection));
    worst = Math.max(worst, distance / (norm + 1e-3 * largest));
    g.dispose();
  }
  const mean = (await value.item()) / count;
  value.dispose();
  return { loss: Math.abs(mean - loss), grads: worst };
}

async function differentTexts(model: CausalLM, { texts }: FamilyCase): Promise<string[]> {
  const requests = texts.map(([prompt, told]) => ({
    prompt,
    maxNewTokens: told.max_new_tokens,
    repetitionPenalty: told.repetition_penalty,
    numBeams: told.num_beams,
    lengthPenalty: told.length_penalty,
    earlyStopping: told.early_stopping,
  }));
  const greedy = requests.filter(({ numBeams }) => numBeams === undefined);
  // Together: texts of different lengths in one batch.
  const together = await generateAll(model, greedy, { batchSize: 2 });
  const found = await Promise.all(
    requests.map(async (request) => {
      const place = greedy.indexOf(request);
      return place < 0 ? await generate(model, request.prompt, request) : together[place];
    }),
  );
  return texts.flatMap(([, told, ids], i) =>
    found[i].ids.join() === ids.join()
      ? []
      : [`${JSON.stringify(told)}: ${found[i].ids}, transformers ${ids}`],
  );
}
