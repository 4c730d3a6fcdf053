import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ConfigError } from '@flex/base';
import type { Optimizer } from '@flex/optim';
import type { Regularizer } from '@flex/peft';
import { loadConfig, type TrainConfig } from './config.ts';
import type { Section } from './config-file.ts';
import type { RecipeParts } from './parts.ts';

/** A regularizer in a recipe: a configuration, or a value with its λ. */
export type RecipeRegularizer =
  | Section
  | { readonly use: Regularizer; readonly lambda: number; readonly enters?: 'loss' | 'decoupled' };

/** A run as a TypeScript value: the keys of a configuration file, in which parts may be values. */
export interface Recipe extends Section {
  readonly regularizer?: 'none' | RecipeRegularizer | readonly RecipeRegularizer[];
  readonly optimizer?: Section | { readonly use: Optimizer };
}

/** Types a recipe. `export default defineRecipe({ … })` is what `flex train recipe.ts` takes. */
export function defineRecipe(recipe: Recipe): Recipe {
  return recipe;
}

/** A recipe's configuration, checked as a file's is, and the values that stand behind its placeholders. */
export interface LoadedRecipe {
  readonly config: TrainConfig;
  readonly parts: RecipeParts;
}

/** Loads `recipe.ts` with overrides over it. Throws ConfigError for what a configuration file would be refused for. */
export async function loadRecipe(
  file: string,
  options: { readonly overrides: readonly string[]; readonly defaults?: Section },
): Promise<LoadedRecipe> {
  let module: { default?: unknown };
  try {
    module = (await import(pathToFileURL(resolve(file)).href)) as { default?: unknown };
  } catch (error) {
    throw new ConfigError(`${file}: cannot be loaded: ${(error as Error).message.split('\n')[0]}`, {
      cause: error,
    });
  }
  const recipe = module.default;
  if (recipe === null || typeof recipe !== 'object') {
    throw new ConfigError(`${file}: must have a default export made with defineRecipe({ … })`);
  }
  const parts = new Map<string, unknown>();
  const plain = replaceValues(recipe as Section, file, parts);
  const config = loadConfig({ overrides: options.overrides, defaults: { ...options.defaults, ...plain } });
  return { config, parts };
}

/** The recipe with each `use: value` made `use: "file#key"`, which `parts` leads back to the value. */
function replaceValues(recipe: Section, file: string, parts: Map<string, unknown>): Section {
  const replaced = (part: unknown, key: string): unknown => {
    if (Array.isArray(part)) return part.map((one, i) => replaced(one, `${key}.${i}`));
    if (part === null || typeof part !== 'object' || !('use' in part) || typeof part.use === 'string')
      return part;
    const placeholder = `${resolve(file)}#${key}`;
    parts.set(placeholder, part.use);
    const { name, options } = part.use as { name?: unknown; options?: unknown };
    return { ...part, use: placeholder, of: name, options };
  };
  return Object.fromEntries(Object.entries(recipe).map(([key, part]) => [key, replaced(part, key)]));
}
