import { pathToFileURL } from 'node:url';
import { ConfigError } from '@flex/base';
import { adamw, type Optimizer } from '@flex/optim';
import { type Adapters, fourier, l2 } from '@flex/peft';
import type { OptimizerConfig, RegularizerConfig } from './config.ts';
import type { WeightedRegularizer } from './update.ts';

/** Values that a recipe puts in place of a module's path, by the placeholder that stands for them. */
export type RecipeParts = ReadonlyMap<string, unknown>;

/**
 * The regularizers of a configuration: built-in ones by name, others from the module that `use` names. `start` gives
 * the adapter before its first update, for a penalty on the change since.
 */
export async function makeRegularizers(
  parts: readonly RegularizerConfig[],
  recipe: RecipeParts,
  start: () => Adapters,
): Promise<WeightedRegularizer[]> {
  return Promise.all(
    parts.map(async (part, i) => {
      const where = `regularizer.${i}`;
      if (!('use' in part)) {
        const { name: _, lambda, enters, ...options } = part;
        const regularizer =
          part.name === 'l2' ? l2() : fourier(options, part.scope === 'change' ? start() : undefined);
        return { regularizer, lambda, enters };
      }
      const { use, lambda, enters = 'loss', name: _, ...options } = part;
      if (typeof lambda !== 'number' || !(lambda >= 0)) {
        throw new ConfigError(`${where}.lambda must be a number of at least 0, got ${String(lambda)}`);
      }
      if (enters !== 'loss' && enters !== 'decoupled') {
        throw new ConfigError(`${where}.enters must be loss or decoupled, got ${String(enters)}`);
      }
      const stray = recipe.has(use) && Object.keys(options).find((key) => key !== 'of' && key !== 'options');
      if (stray)
        throw new ConfigError(`${where}.${stray} is not a key; a value takes use, lambda and enters`);
      const regularizer = await load(where, use, options, recipe);
      requireMethods(where, use, regularizer, ['penalty']);
      return { regularizer: regularizer as WeightedRegularizer['regularizer'], lambda, enters };
    }),
  );
}

/** The optimizer of a configuration: AdamW, or the one from the module that `use` names. */
export async function makeOptimizer(part: OptimizerConfig, recipe: RecipeParts): Promise<Optimizer> {
  if (!('use' in part)) {
    const { name: _, ...options } = part;
    return adamw(options);
  }
  const { use, name: _, ...options } = part;
  const optimizer = await load('optimizer', use, options, recipe);
  requireMethods('optimizer', use, optimizer, ['init', 'update']);
  return optimizer as Optimizer;
}

/** A recipe's own value, or what the default export of a module makes of the options. */
async function load(where: string, use: string, options: object, recipe: RecipeParts): Promise<unknown> {
  if (recipe.has(use)) return recipe.get(use);
  let module: { default?: unknown };
  try {
    module = (await import(use.startsWith('/') ? pathToFileURL(use).href : use)) as { default?: unknown };
  } catch (error) {
    throw new ConfigError(
      `${where}.use: ${use} cannot be loaded: ${(error as Error).message.split('\n')[0]}`,
      {
        cause: error,
      },
    );
  }
  if (typeof module.default !== 'function') {
    throw new ConfigError(`${where}.use: ${use} must default-export a function of its options`);
  }
  return (module.default as (options: object) => unknown)(options);
}

function requireMethods(where: string, use: string, part: unknown, methods: readonly string[]): void {
  const fields = part as Record<string, unknown> | null;
  for (const method of methods) {
    if (typeof fields?.[method] !== 'function') {
      throw new ConfigError(
        `${where}.use: ${use} gives no ${method}() ; see CONTRIBUTING.md for the interface`,
      );
    }
  }
}
