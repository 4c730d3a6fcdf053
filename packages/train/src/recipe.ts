import type { Part } from '@flex/base';
import type { Regularizer } from '@flex/peft';
import type { z } from 'zod';
import type { freshSchema } from './config-schema.ts';
import type { OptionsInput, RunKeys } from './parts.ts';

/**
 * A run as a TypeScript value: what a configuration file says, its keys camelCase, in which parts may be
 * values.
 */
export type Recipe = Omit<z.input<ReturnType<typeof freshSchema>>, 'adapter' | 'out'> & {
  /** A PEFT adapter to continue; null begins a fresh one. */
  readonly adapter?: string | null;
  /** The run's folder; `flex train` finds the next free one where it is left out. */
  readonly out?: string;
};

/** Types a recipe. `export default defineRecipe({ … })` is what `flex train recipe.ts` takes. */
export function defineRecipe(recipe: Recipe): Recipe {
  return recipe;
}

/**
 * A part of one's own with its options, where a recipe takes a part: `regularizer: use(totalVariation, {
 * lambda: 0.02 })`. What files say with `use: ./total-variation.ts`.
 */
export function use<Schema extends z.ZodObject, Value, Context>(
  part: Part<Schema, Value, Context>,
  options: OptionsInput<Schema> & (Value extends Regularizer ? RunKeys<'regularizer'> : unknown),
): { readonly use: Part<Schema, Value, Context> } {
  return { use: part, ...(options as object) };
}
