import { ConfigError, DataError, parseJson } from '@flex/base';
import { adaptedModules, type Limits } from './adapted-modules.ts';
import { patternMatcher } from './adapter-names.ts';
import { type LoraConfig, type LoraInit, loraInits, type TokenIndices } from './lora.ts';
import { isGlob, peftTargets } from './targets.ts';
import { tableOf } from './whole-weights.ts';

/** The keys of PEFT 0.21's LoraConfig, as it saves them for plain LoRA on a causal language model. */
const template = {
  alora_invocation_tokens: null,
  alpha_pattern: {},
  arrow_config: null,
  auto_mapping: null,
  base_model_name_or_path: null,
  bias: 'none',
  corda_config: null,
  ensure_weight_tying: false,
  eva_config: null,
  exclude_modules: null,
  fan_in_fan_out: false,
  inference_mode: true,
  init_lora_weights: true,
  kasa_config: null,
  layer_replication: null,
  layers_pattern: null,
  layers_to_transform: null,
  loftq_config: {},
  lora_alpha: 8,
  lora_bias: false,
  lora_dropout: 0,
  lora_ga_config: null,
  megatron_config: null,
  megatron_core: 'megatron.core',
  modules_to_save: null,
  monteclora_config: null,
  peft_type: 'LORA',
  peft_version: '0.21.0',
  qalora_group_size: 16,
  r: 8,
  rank_pattern: {},
  revision: null,
  target_modules: null,
  target_parameters: null,
  task_type: 'CAUSAL_LM',
  trainable_token_indices: null,
  use_bdlora: null,
  use_dora: false,
  use_qalora: false,
  use_rslora: false,
  velora_config: null,
};

/** What an adapter may say of the keys that would make it something that we do not have. */
const required: Readonly<Record<string, readonly unknown[]>> = {
  peft_type: ['LORA'],
  fan_in_fan_out: [false],
  use_qalora: [false],
  use_bdlora: [null, false],
  alora_invocation_tokens: [null],
  layer_replication: [null],
  target_parameters: [null],
  arrow_config: [null],
  corda_config: [null],
  kasa_config: [null],
  lora_ga_config: [null],
  monteclora_config: [null],
  velora_config: [null],
  bias: ['none', 'all', 'lora_only'],
  // Others change the model's own weights, by something that is not in the file, or are not W + s·B·A.
  init_lora_weights: [true, false, 'gaussian', 'orthogonal', 'eva', 'pissa', 'olora'],
};

/** Our names of PEFT's initial values; of those that only say where training began, `kaiming`. */
const inits: ReadonlyMap<unknown, LoraInit> = new Map<unknown, LoraInit>([
  [true, 'kaiming'],
  [false, 'random'],
  ...loraInits.slice(2).map((init) => [init, init] as const),
  ['eva', 'kaiming'],
]);

/** Keys that a file must have; others that are missing have PEFT's default. */
const needed = ['peft_type', 'r', 'lora_alpha'];

/** PEFT's `target_modules` where the file has none: those of every family that it has some for. */
const usualTargets = ['q_proj', 'v_proj'];

type Content = Readonly<Record<string, unknown>>;
/** Refuses a file. */
type FailFile = (what: string) => never;

/** What an adapter's config says. */
export interface AdapterConfig {
  readonly lora: LoraConfig;
  readonly baseModel: string | null;
  /** Whether it puts an adapter on the layer of this path. */
  adapts(path: string): boolean;
  /** What it says that means nothing here, a line each. */
  readonly warnings: readonly string[];
}

/**
 * What PEFT's adapter_config.json says, its text being `text`. Throws DataError, in one line that begins with
 * `file`, for JSON that is broken, for a value that is out of range, and for kinds of adapters that we do not
 * have, by the key that makes them so.
 */
export function parseAdapterConfig(file: string, text: string): AdapterConfig {
  const fail = (what: string): never => {
    throw new DataError(`${file}: ${what}`);
  };
  const content = parseObject(file, text, fail);
  for (const key of needed) if (!(key in content)) fail(`"${key}" is missing; is this an adapter of PEFT?`);
  for (const [key, allowed] of Object.entries(required)) {
    const came = key in content ? content[key] : allowed[0];
    const empty = Array.isArray(came) && came.length === 0 && allowed.includes(null);
    if (empty || allowed.includes(came)) continue;
    const wanted = allowed.map((value) => JSON.stringify(value)).join(' or ');
    fail(`"${key}" is ${show(came)}, which is not supported; it must be ${wanted}`);
  }
  if (!isEmpty(content.loftq_config)) fail('"loftq_config" is set, which is not supported; it must be {}');

  const number = (key: string, what: string, holds: (x: number) => boolean, otherwise?: number): number => {
    const came = content[key] ?? otherwise;
    return typeof came === 'number' && holds(came)
      ? came
      : fail(`"${key}" must be ${what}, it is ${show(content[key])}`);
  };
  const flag = (key: string): boolean => {
    const came = content[key] ?? false;
    return typeof came === 'boolean' ? came : fail(`"${key}" must be true or false, it is ${show(came)}`);
  };
  const targets = namesOrPattern(content, 'target_modules', fail) ?? usualTargets;
  const limits = limitsOf(content, fail);
  const modulesToSave = namesOrPattern(content, 'modules_to_save', fail);
  if (typeof modulesToSave === 'string')
    fail(`"modules_to_save" must be a list of names, it is ${show(modulesToSave)}`);
  const trainableTokenIndices = tokenIndices(content, fail);
  const bias = (content.bias ?? 'none') as NonNullable<LoraConfig['bias']>;
  const lora: LoraConfig = {
    rank: number('r', 'a whole number ≥ 1', isRank),
    alpha: number('lora_alpha', 'above 0', isAlpha),
    dropout: number('lora_dropout', 'in [0, 1)', (x) => x >= 0 && x < 1, 0),
    targets: typeof targets === 'string' && /^all-linear$/i.test(targets) ? 'all-linear' : targets,
    ...limits,
    scaling: flag('use_rslora') ? 'alpha/sqrt(r)' : 'alpha/r',
    rankPattern: pattern(content, 'rank_pattern', 'whole numbers ≥ 1', isRank, fail),
    alphaPattern: pattern(content, 'alpha_pattern', 'numbers above 0', isAlpha, fail),
    dora: flag('use_dora'),
    loraBias: flag('lora_bias'),
    bias,
    init: inits.get(content.init_lora_weights ?? true) as LoraInit,
    ...(modulesToSave !== null && { modulesToSave: modulesToSave as readonly string[] }),
    ...(trainableTokenIndices !== null && { trainableTokenIndices }),
    ensureWeightTying: flag('ensure_weight_tying'),
  };
  const base = content.base_model_name_or_path;
  const unknown = Object.keys(content).filter(
    (key) => !(key in template) && content[key] !== false && !isEmpty(content[key]),
  );
  return {
    lora,
    baseModel: typeof base === 'string' ? base : null,
    adapts: adaptedModules(targets, limits, (key, what) => fail(`"${key}" ${what}`)),
    warnings: unknown.map((key) => `${file}: "${key}" is unknown, and passed over`),
  };
}

function limitsOf(content: Content, fail: FailFile): Limits {
  const layers = content.layers_to_transform ?? undefined;
  if (![layers ?? []].flat().every(Number.isInteger))
    fail('"layers_to_transform" must be the number of a layer, or a list of them');
  const excludeModules = namesOrPattern(content, 'exclude_modules', fail);
  const layersPattern = namesOrPattern(content, 'layers_pattern', fail);
  return {
    ...(excludeModules !== null && { excludeModules }),
    ...(layers !== undefined && { layersToTransform: layers as number | number[] }),
    ...(layersPattern !== null && { layersPattern }),
  };
}

function namesOrPattern(content: Content, key: string, fail: FailFile): string | readonly string[] | null {
  const value = content[key] ?? null;
  if (value === null || typeof value === 'string') return value;
  if (Array.isArray(value) && value.every((name) => typeof name === 'string')) return value;
  return fail(`"${key}" must be a list of names or a pattern, it is ${JSON.stringify(value)}`);
}

function tokenIndices(content: Content, fail: FailFile): TokenIndices | null {
  const value = content.trainable_token_indices ?? null;
  const isList = (list: unknown) => Array.isArray(list) && list.every(Number.isInteger);
  if (value === null || isList(value)) return value as TokenIndices | null;
  if (typeof value === 'object' && !Array.isArray(value)) {
    const unknown = Object.keys(value).find((name) => !tableOf(name));
    if (unknown !== undefined)
      fail(
        `"trainable_token_indices" has "${unknown}", which is not supported; embed_tokens and lm_head are`,
      );
    if (Object.values(value).every(isList)) return value as TokenIndices;
  }
  return fail(
    `"trainable_token_indices" must be a list of token ids, or one for each name, it is ${show(value)}`,
  );
}

const isRank = (x: number) => Number.isInteger(x) && x >= 1;
const isAlpha = (x: number) => x > 0 && x < Infinity;
const isEmpty = (value: unknown) =>
  value === undefined || value === null || (typeof value === 'object' && Object.keys(value).length === 0);

function parseObject(file: string, text: string, fail: FailFile): Content {
  const content = parseJson(text, file);
  if (typeof content !== 'object' || content === null || Array.isArray(content)) fail('is not a JSON object');
  return content as Content;
}

function pattern(
  content: Content,
  key: string,
  what: string,
  holds: (x: number) => boolean,
  fail: FailFile,
): Readonly<Record<string, number>> {
  const came = content[key] ?? {};
  if (typeof came !== 'object' || Array.isArray(came))
    return fail(`"${key}" must be an object, it is ${show(came)}`);
  for (const [name, value] of Object.entries(came)) {
    if (typeof value !== 'number' || !holds(value))
      fail(`"${key}" must hold ${what}, "${name}" is ${show(value)}`);
    try {
      patternMatcher(name);
    } catch (cause) {
      fail(
        `"${key}" has the key "${name}", which is not a pattern of module names: ${(cause as Error).message}`,
      );
    }
  }
  return came as Record<string, number>;
}

/**
 * The text of an adapter_config.json that PEFT loads, and that means the same: for the scaling `alpha`,
 * which PEFT does not have, lora_alpha is alpha·rank. Throws ConfigError where that is not possible.
 */
export function formatAdapterConfig(
  config: LoraConfig,
  paths: readonly string[],
  baseModel: string | null,
): string {
  const { rank, alpha, dropout, scaling, rankPattern = {}, alphaPattern = {} } = config;
  const patterned = Object.keys(rankPattern).length + Object.keys(alphaPattern).length > 0;
  if (scaling === 'alpha' && patterned) {
    throw new ConfigError(
      'lora.scaling: alpha with a rank or an alpha of its own for some modules cannot be saved',
    );
  }
  const init = config.init ?? 'kaiming';
  const content = {
    ...template,
    alpha_pattern: alphaPattern,
    base_model_name_or_path: baseModel,
    bias: config.bias ?? 'none',
    ensure_weight_tying: config.ensureWeightTying ?? false,
    init_lora_weights: init === 'kaiming' ? true : init !== 'random' && init,
    lora_alpha: scaling === 'alpha' ? alpha * rank : alpha,
    lora_bias: config.loraBias ?? false,
    lora_dropout: dropout,
    modules_to_save: config.modulesToSave ?? null,
    r: rank,
    rank_pattern: rankPattern,
    trainable_token_indices: config.trainableTokenIndices ?? null,
    use_dora: config.dora ?? false,
    use_rslora: scaling === 'alpha/sqrt(r)',
    ...modulesOf(config, paths),
  };
  return JSON.stringify(content, null, 2);
}

/** Which modules are meant, in PEFT's keys. Whole paths, which globs are written as, need no limits. */
function modulesOf({ targets, ...limits }: LoraConfig, paths: readonly string[]): object {
  const names = peftTargets(targets, paths);
  const target_modules = typeof names === 'string' ? names : [...names].sort();
  if (typeof targets !== 'string' && targets.some(isGlob)) return { target_modules };
  return {
    exclude_modules: limits.excludeModules ?? null,
    layers_pattern: limits.layersPattern ?? null,
    layers_to_transform: limits.layersToTransform ?? null,
    target_modules,
  };
}

/** A JSON value as a message shows it. */
function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'missing';
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}
