import {
  ConfigError,
  definePart,
  importPart,
  isPart,
  nearestNames,
  type PartOf,
  partTitle,
  sectionSchema,
  unknownName,
} from '@flex/base';
import { completionFormats, type Format } from '@flex/datasets';
import {
  adamwPart,
  constantSchedule,
  cosineSchedule,
  linearSchedule,
  lionPart,
  type Optimizer,
  type Schedule,
  type ScheduleContext,
  sgdPart,
  sophiaGPart,
  sophiaHPart,
} from '@flex/optim';
import {
  dctPart,
  fourierPart,
  l2Part,
  matchedL2Part,
  permutedFrequenciesPart,
  type Regularizer,
  type RegularizerContext,
  type StandIn,
  standIn,
  standIns,
  swappedFrequenciesPart,
} from '@flex/peft';
import { z } from 'zod';
import { type Callback, callbackEvents } from './callback.ts';
import { named } from './named-error.ts';

/** What parts of each kind make, and what a run tells them. */
export interface PartKinds {
  regularizer: { value: Regularizer; context: RegularizerContext };
  optimizer: { value: Optimizer; context: unknown };
  schedule: { value: Schedule; context: ScheduleContext };
  format: { value: Format; context: unknown };
  callback: { value: Callback; context: unknown };
}

export type PartKind = keyof PartKinds;

interface Kind<K extends PartKind> {
  /** The built-in ones; the first is the default. */
  readonly parts: readonly PartOf<PartKinds[K]['value'], PartKinds[K]['context']>[];
  /** Keys before and behind a part's own, which mean something to the run. */
  readonly before?: z.ZodRawShape;
  readonly behind?: z.ZodRawShape;
  /** What `make` must give, in words and as a test. */
  readonly makes: string;
  is(value: unknown): boolean;
  /** Its methods, where it may have no other. */
  readonly methods?: readonly string[];
}

const formats = completionFormats.map((format) =>
  definePart({ name: format.name, schema: z.strictObject({}), make: () => format }),
);

/** All parts that are built in, by their kind. */
export const partKinds = {
  regularizer: {
    parts: [fourierPart, matchedL2Part, swappedFrequenciesPart, permutedFrequenciesPart, dctPart, l2Part],
    before: { lambda: z.number().min(0).default(0.02) },
    behind: {
      enters: z.enum(['loss', 'decoupled']).default('loss'),
      /** What takes the penalty's place, in a control of it. */
      control: z.enum(standIns).optional(),
    },
    makes: 'an object with penalty()',
    is: (value) => has(value, 'penalty'),
  },
  optimizer: {
    parts: [adamwPart, sophiaGPart, sophiaHPart, lionPart, sgdPart],
    // LoRA+: how much faster B learns than A.
    behind: { loraPlusRatio: z.number().positive().default(1) },
    makes: 'an object with lr, init() and update()',
    is: (value) => has(value, 'init', 'update') && Number.isFinite((value as Optimizer).lr),
  },
  schedule: {
    parts: [cosineSchedule, linearSchedule, constantSchedule],
    makes: 'a function of the update',
    is: (value) => typeof value === 'function',
  },
  format: {
    parts: formats,
    makes: 'an object with matches() and read()',
    is: (value) => has(value, 'matches', 'read'),
  },
  callback: {
    parts: [],
    makes: `an object with ${callbackEvents.join(', ')}, or some of them`,
    is: (value) => methodsOf(value).length > 0,
    methods: callbackEvents,
  },
} as const satisfies { [K in PartKind]: Kind<K> };

type Flat<T> = { [K in keyof T]: T[K] };

/** What a schema reads; of one without keys anything, where zod would allow no other keys beside them. */
export type OptionsInput<S extends z.ZodObject> = keyof S['shape'] extends never ? unknown : z.input<S>;

/** The keys of a part that mean something to the run. */
export type RunKeys<K extends PartKind> = K extends 'regularizer'
  ? { readonly lambda?: number; readonly enters?: 'loss' | 'decoupled'; readonly control?: StandIn }
  : K extends 'optimizer'
    ? { readonly loraPlusRatio?: number }
    : unknown;

/** A built-in part in a recipe: the default one may go without its name. */
type BuiltInInput<K extends PartKind, P> = P extends {
  readonly name: infer Name;
  readonly schema: infer Schema extends z.ZodObject;
}
  ? Flat<
      (P extends (typeof partKinds)[K]['parts'][0] ? { readonly name?: Name } : { readonly name: Name }) &
        RunKeys<K> &
        OptionsInput<Schema>
    >
  : never;

/** A part that is not built in, with its options: what `use` of a recipe gives. */
export interface UsedPart<K extends PartKind> {
  readonly use: PartOf<PartKinds[K]['value'], PartKinds[K]['context']>;
}

/** A part as a recipe names it. */
export type PartInput<K extends PartKind> =
  | BuiltInInput<K, (typeof partKinds)[K]['parts'][number]>
  | UsedPart<K>;

/** A part as a configuration names it, with its options: built-in by its name, or by its module or value. */
export interface PartSection {
  readonly name?: string;
  readonly use?: string | PartOf<unknown, never>;
  readonly [option: string]: unknown;
}

/** The part that a section names. Throws ConfigError, a predicate of its `name` or its `use`. */
export async function findPart(kind: PartKind, { name, use }: PartSection): Promise<PartOf<unknown, never>> {
  if (typeof use === 'string') return importPart(use);
  if (isPart(use)) return use;
  if (use !== undefined)
    throw new ConfigError('must be the path of a module, or a part made with definePart');
  const { parts }: Kind<PartKind> = partKinds[kind];
  const found = parts.find((part) => part.name === name);
  if (found) return found as PartOf<unknown, never>;
  const names = parts.map((part) => part.name);
  if (names.length === 0) throw new ConfigError('is not a key here; write {use: ./module.ts}');
  throw new ConfigError(
    `${unknownName(name, names)} (one of your own is named by its module, use: ./module.ts)`,
  );
}

/** The schema of the section that names this part; where it names none, of what it would have to be. */
export function partSchema(kind: PartKind, part: PartOf<unknown, never> | null, use?: unknown): z.ZodObject {
  if (!part) return z.strictObject({}).describe(`a section such as ${exampleOf(kind)} or {use: ./module.ts}`);
  const { before = {}, behind = {} }: Kind<PartKind> = partKinds[kind];
  const head: z.ZodRawShape = use === undefined ? { name: z.literal(part.name) } : { use: z.any() };
  return sectionSchema(part, { before: { ...head, ...before }, behind });
}

function exampleOf(kind: PartKind): string {
  const [part]: readonly { readonly name: string }[] = partKinds[kind].parts;
  return part ? `{name: ${part.name}}` : '{use: ./module.ts}';
}

/** What a part made, under its name and with the options that decided it. */
export interface MadePart<K extends PartKind> {
  readonly name: string;
  /** The file of its module, where it has one. */
  readonly module?: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly value: PartKinds[K]['value'];
}

/** What errors and warnings call a part. */
export const titleOf = (
  kind: PartKind,
  { name, module }: Pick<MadePart<PartKind>, 'name' | 'module'>,
): string => partTitle(kind, name, module);

/** Makes what a section of a checked configuration names. Throws ConfigError where it is not of its kind. */
export async function makePart<K extends PartKind>(
  kind: K,
  section: PartSection,
  context: PartKinds[K]['context'],
): Promise<MadePart<K>> {
  const part = await findPart(kind, section);
  const { before = {}, behind = {}, makes, is, methods }: Kind<PartKind> = partKinds[kind];
  const others = ['name', 'use', ...Object.keys({ ...before, ...behind })];
  const options = Object.fromEntries(Object.entries(section).filter(([key]) => !others.includes(key)));
  const module = typeof section.use === 'string' ? section.use : undefined;
  const title = partTitle(kind, part.name, module);
  const value = await named(title, () => part.make(options, context as never));
  const stray = methods && methodsOf(value).find((method) => !methods.includes(method));
  if (methods && stray !== undefined) {
    const [near] = nearestNames(stray, methods, 1);
    throw new ConfigError(`${title}: a ${kind} has no ${stray}(); did you mean ${near}()?`);
  }
  if (!is(value)) throw new ConfigError(`${title}: its make must give ${makes}`);
  return { name: part.name, module, options, value: value as PartKinds[K]['value'] };
}

/** Makes a regularizer, or what stands in for it, `matched-l2-of-NAME`. Throws what `makePart` does. */
export async function makeRegularizer(
  section: PartSection & { readonly control?: StandIn },
  context: RegularizerContext,
): Promise<MadePart<'regularizer'>> {
  const { control } = section;
  if (control === undefined) return makePart('regularizer', section, context);
  const maker = standIn(control, context);
  const made = await makePart('regularizer', section, maker.context);
  return { ...made, name: `${control}-of-${made.name}`, value: maker.of(made.value) };
}

function has(value: unknown, ...methods: readonly string[]): boolean {
  const fields = (value ?? {}) as Record<string, unknown>;
  return methods.every((method) => typeof fields[method] === 'function');
}

/** The names of an object's methods, its class's among them. */
function methodsOf(value: unknown): string[] {
  if (typeof value !== 'object' || value === null || value === Object.prototype) return [];
  const own = Object.entries(Object.getOwnPropertyDescriptors(value)).filter(
    ([key, { value: member }]) => key !== 'constructor' && typeof member === 'function',
  );
  return [...own.map(([key]) => key), ...methodsOf(Object.getPrototypeOf(value))];
}
