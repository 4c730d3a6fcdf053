import { ConfigError, respell } from '@flex/base';
import type { CausalLM } from '@flex/llama';
import {
  type Adapter,
  type Adapters,
  type AdapterWeights,
  decomposes,
  emptyAdapter,
  idleBias,
  initAdapter,
  initWhole,
  type Linears,
  type LoraConfig,
  lowRankOf,
  openAdapter,
  plainAdapter,
  readAdapter,
  requireEffect,
  resolveTargets,
  type Targets,
} from '@flex/peft';
import { eachTensor } from '@flex/tensor';
import type { TrainConfig } from './config.ts';

/** What a run starts from. */
export interface StartingAdapter extends AdapterWeights {
  readonly lora: LoraConfig;
  /** What the fresh adapter took out of the model; null: nothing. */
  readonly removed: Adapters | null;
  readonly warnings: readonly string[];
}

/** A fresh adapter, or the one that the configuration continues, which `lora` must agree with. */
export async function startingAdapter(config: TrainConfig, model: CausalLM): Promise<StartingAdapter> {
  if (config.adapter === null) {
    const { lora } = config;
    const targets = resolveTargets(lora.targets, model.linears, lora);
    requireEffect(lora, [...targets.keys()], model.linears);
    const fresh = await initAdapter(model, lora, targets, config.train.seed);
    const whole = initWhole(lora, model.weights, [...targets.keys()]);
    const idle = idleBias(lora, whole);
    return { lora, ...fresh, whole, warnings: idle === null ? [] : [`lora.bias ${idle}`] };
  }
  const adapter = await openAdapter(model, config.adapter);
  requireAgreement(config, adapter, model.linears);
  const { config: lora, params, whole, warnings } = adapter;
  return { lora, params, whole, removed: null, warnings };
}

/**
 * What `startingAdapter` makes, with any numbers in it: for plans. Throws what that throws, but for what only
 * the numbers in the model's weights can tell.
 */
export function emptyStart(config: TrainConfig, model: CausalLM): StartingAdapter {
  const warnings: string[] = [];
  if (config.adapter === null) {
    const { lora } = config;
    const targets = resolveTargets(lora.targets, model.linears, lora);
    requireEffect(lora, [...targets.keys()], model.linears);
    return { lora, ...emptyAdapter(model, lora, targets), warnings };
  }
  const adapter = readAdapter(model.backend, config.adapter, model);
  requireAgreement(config, adapter, model.linears);
  const { config: lora, params, whole } = adapter;
  if (!decomposes(lora.init)) return { lora, params, whole, removed: null, warnings };
  // What was taken out has the shapes of the pairs.
  const plain = plainAdapter(params, params, lora);
  eachTensor(lowRankOf(params), (t) => t.dispose());
  return { lora: plain.config, params: plain.params, whole, removed: null, warnings };
}

/** Throws ConfigError where `lora` of a configuration is not as the adapter has it that training continues. */
export function requireAgreement(
  { adapter, lora: given }: TrainConfig,
  { config: lora, params }: Pick<Adapter, 'config' | 'params'>,
  linears: Linears,
): void {
  const means = (targets: Targets) => [...resolveTargets(targets, linears, { ...lora, ...given }).keys()];
  for (const [key, value] of Object.entries(given)) {
    const has = lora[key as keyof LoraConfig];
    const agrees =
      key === 'targets'
        ? means(value as Targets).join() === [...params.keys()].join()
        : JSON.stringify(has) === JSON.stringify(value);
    if (!agrees) {
      throw new ConfigError(
        `lora.${respell(key)} is ${JSON.stringify(value)}, but the adapter ${adapter} has ${JSON.stringify(has)}; leave it out`,
      );
    }
  }
}
