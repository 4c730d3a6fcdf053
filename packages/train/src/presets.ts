import type { z } from 'zod';
import { merge } from './config-override.ts';
import type { freshSchema } from './config-schema.ts';
import { isSection, type Section } from './config-section.ts';
import type { PartInput } from './parts.ts';

type Input = z.input<ReturnType<typeof freshSchema>>;

/** A configuration beneath the user's: what it says holds unless the user says something else. */
export interface Preset {
  readonly data?: Partial<Input['data']>;
  readonly lora?: Input['lora'];
  readonly regularizer?: PartInput<'regularizer'>;
}

/**
 * The three readings of the method; what they do not name here is the same in all of them.
 *
 * - `corrected`, the default, is a sound protocol: MBPP's train split, the loss on the completion alone, an
 *   end-of-text token to learn to stop, PEFT's scaling, a transform that keeps the norm (Parseval's).
 * - `paper` is the paper's text: all 974 rows of MBPP, the loss on every token, eq. 1's s = α, and the plain
 *   transform, under which the penalty of fresh weights is some 10⁵ times the task's loss. As it trains on
 *   all of MBPP, holding out a part of the same file is refused.
 * - `author-script` is the published scripts: no end-of-text token of its own, and each example filled up
 *   to `max_length` with end-of-text tokens that are scored as well.
 *
 * NUMERICS: a change here changes what every run of that preset computes.
 */
export const presets: Readonly<Record<z.output<ReturnType<typeof freshSchema>>['preset'], Preset>> = {
  corrected: {},
  paper: {
    data: { split: 'all', lossOn: 'all' },
    lora: { scaling: 'alpha' },
    regularizer: { name: 'fourier', norm: 'backward' },
  },
  'author-script': { data: { lossOn: 'all-and-padding', appendEos: false } },
};

/** Whether the values continue an adapter, rather than begin a fresh one. */
export function isContinued({ adapter }: Section): boolean {
  return adapter !== undefined && adapter !== null;
}

/**
 * The values over those of their preset, with lists as lists and each part under its name. An adapter that is
 * continued decides on `lora` alone.
 */
export function overPreset(values: Section): Section {
  const preset: Preset = Object.entries(presets).find(([name]) => name === values.preset)?.[1] ?? {};
  const over = (lower: object, value: unknown): unknown =>
    isSection(value) ? merge(lower as Section, value) : value;
  const listOver = (lower: object, value: unknown): unknown => {
    const list = isSection(value) ? [value] : value;
    return Array.isArray(list) ? list.map((entry) => over(lower, entry)) : list;
  };
  const { data, lora = {}, optimizer = {}, schedule = {}, regularizer = {}, callbacks = [] } = values;
  return {
    ...values,
    data: over(preset.data ?? {}, data),
    lora: over(isContinued(values) ? {} : (preset.lora ?? {}), lora),
    optimizer: over({ name: 'adamw' }, optimizer),
    schedule: over({ name: 'cosine' }, schedule),
    regularizer:
      regularizer === 'none' ? [] : listOver({ name: 'fourier', ...preset.regularizer }, regularizer),
    callbacks: listOver({}, callbacks),
    eval: listOver({}, values.eval ?? []),
  };
}
