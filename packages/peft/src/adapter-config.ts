import { ConfigError, DataError, parseJson } from '@flex/base';
import { type AdaptedModules, adaptedModules } from './adapted-modules.ts';
import { patternMatcher } from './adapter-names.ts';
import type { LoraConfig } from './lora.ts';
import { isGlob, moduleName, targetGroups } from './targets.ts';

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

/** What an adapter may say of the keys that would make it something else than W + s·B·A on linear layers. */
const required: Readonly<Record<string, readonly unknown[]>> = {
  peft_type: ['LORA'],
  bias: ['none'],
  lora_bias: [false],
  modules_to_save: [null],
  fan_in_fan_out: [false],
  use_dora: [false],
  use_qalora: [false],
  use_bdlora: [null, false],
  alora_invocation_tokens: [null],
  layer_replication: [null],
  target_parameters: [null],
  trainable_token_indices: [null],
  arrow_config: [null],
  corda_config: [null],
  kasa_config: [null],
  lora_ga_config: [null],
  monteclora_config: [null],
  velora_config: [null],
  // Other initialisations change the model's own weights: without that change the adapter means nothing.
  init_lora_weights: [true, false, 'gaussian', 'orthogonal', 'eva'],
};

/** Keys that a file must have; others that are missing have PEFT's default. */
const needed = ['peft_type', 'r', 'lora_alpha'];

type Content = Readonly<Record<string, unknown>>;

/** What an adapter's config says. */
export interface AdapterConfig {
  readonly lora: Omit<LoraConfig, 'targets'>;
  readonly baseModel: string | null;
  readonly modules: AdaptedModules;
}

/**
 * What PEFT's adapter_config.json says, its text being `text`. Throws DataError, in one line that begins with
 * `file`, for JSON that is broken, for a value that is out of range, and for kinds of adapters that are not W
 * + s·B·A.
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
  const rank = number('r', 'a whole number ≥ 1', isRank);
  const alpha = number('lora_alpha', 'above 0', isAlpha);
  const dropout = number('lora_dropout', 'in [0, 1)', (x) => x >= 0 && x < 1, 0);
  const rankPattern = pattern(content, 'rank_pattern', 'whole numbers ≥ 1', isRank, fail);
  const alphaPattern = pattern(content, 'alpha_pattern', 'numbers above 0', isAlpha, fail);
  const rslora = content.use_rslora ?? false;
  if (typeof rslora !== 'boolean') fail(`"use_rslora" must be true or false, it is ${show(rslora)}`);
  const scaling = rslora ? ('alpha/sqrt(r)' as const) : ('alpha/r' as const);
  const lora = { rank, alpha, dropout, scaling, rankPattern, alphaPattern };
  const base = content.base_model_name_or_path;
  const baseModel = typeof base === 'string' ? base : null;
  return { lora, baseModel, modules: adaptedModules(content, fail) };
}

const isRank = (x: number) => Number.isInteger(x) && x >= 1;
const isAlpha = (x: number) => x > 0 && x < Infinity;
const isEmpty = (value: unknown) =>
  value === undefined || value === null || (typeof value === 'object' && Object.keys(value).length === 0);

function parseObject(file: string, text: string, fail: (what: string) => never): Content {
  const content = parseJson(text, file);
  if (typeof content !== 'object' || content === null || Array.isArray(content)) fail('is not a JSON object');
  return content as Content;
}

function pattern(
  content: Content,
  key: string,
  what: string,
  holds: (x: number) => boolean,
  fail: (what: string) => never,
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
  const content = {
    ...template,
    base_model_name_or_path: baseModel,
    r: rank,
    lora_alpha: scaling === 'alpha' ? alpha * rank : alpha,
    lora_dropout: dropout,
    rank_pattern: rankPattern,
    alpha_pattern: alphaPattern,
    use_rslora: scaling === 'alpha/sqrt(r)',
    target_modules: targetModules(config, paths),
  };
  return JSON.stringify(content, null, 2);
}

/** `target_modules` for PEFT: module names where those say which layers are meant, else the whole paths. */
function targetModules({ targets }: LoraConfig, paths: readonly string[]): string[] {
  let modules: readonly string[];
  if (targets === 'all-linear') modules = [...new Set(paths.map(moduleName))];
  else if (typeof targets === 'string') modules = targetGroups[targets];
  else modules = targets.some(isGlob) ? paths : targets;
  return [...modules].sort();
}

/** A JSON value as a message shows it. */
function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'missing';
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}
