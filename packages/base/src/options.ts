import { z } from 'zod';
import { ConfigError } from './errors.ts';
import type { PathKind } from './locate.ts';
import { nearestName } from './nearest-name.ts';
import { show } from './one-line.ts';

/** Where an option stands: keys, and places in lists from 0. */
export type KeyPath = readonly (string | number)[];

/** What is wrong with options: the place, and a line that begins with it. */
export interface OptionProblem {
  readonly path: KeyPath;
  readonly message: string;
}

/** How a path is written where the options come from. */
export type Spell = (path: KeyPath) => KeyPath;

/**
 * The options with their defaults. Throws ConfigError, one line that begins with `where`, for an unknown
 * key, a value of the wrong type or out of range, and a missing key.
 */
export function readOptions<S extends z.ZodType>(schema: S, given: z.input<S>, where: string): z.output<S> {
  const { data, problem } = tryOptions(schema, given);
  if (problem) throw new ConfigError(`${where}: ${problem.message}`);
  return data;
}

/** The options with their defaults, or the first thing wrong with them (see firstProblem). */
export function tryOptions<S extends z.ZodType>(
  schema: S,
  given: unknown,
  spell?: Spell,
): { data: z.output<S>; problem?: undefined } | { data?: undefined; problem: OptionProblem } {
  const { data, error } = schema.safeParse(given, { error: ruleOf });
  return error ? { problem: problemOf(schema, given, error.issues, spell) } : { data: data! };
}

/**
 * The first thing wrong with the options; undefined if nothing is. Unknown keys come first, because a
 * misspelt key is often the reason why another is missing. The message says what the schema needs there: its
 * description, if it has one, else its type, range or names. A message of the schema's own is a predicate,
 * whose subject is the path.
 */
export function firstProblem(schema: z.ZodType, given: unknown, spell?: Spell): OptionProblem | undefined {
  return tryOptions(schema, given, spell).problem;
}

function problemOf(
  schema: z.ZodType,
  given: unknown,
  issues: readonly z.core.$ZodIssue[],
  spell: Spell = (path) => path,
): OptionProblem {
  const unknown = issues.find((issue) => issue.code === 'unrecognized_keys');
  const issue = unknown ?? issues[0];
  const json = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as JsonSchema;
  if (unknown) {
    const path = [...unknown.path, unknown.keys[0]] as KeyPath;
    return { path, message: `${dotted(spell(path))} is not a key; ${keyHint(json, path, spell)}` };
  }
  const path = issue.path as KeyPath;
  const rule = issue.message || needed(schemaAt(json, path), valueAt(given, path));
  return { path, message: [dotted(spell(path)), rule].filter(Boolean).join(' ') };
}

/**
 * The options with each text that the schema marks as a path (`pathTo`) as `change` gives it; the rest as it is.
 */
export function mapPaths(
  schema: z.ZodType,
  given: unknown,
  change: (text: string, kind: PathKind, path: KeyPath) => string,
): unknown {
  const json = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as JsonSchema;
  const mapped = (value: unknown, here: JsonSchema, path: KeyPath): unknown => {
    if (Array.isArray(value)) return value.map((entry, i) => mapped(entry, step(here, i), [...path, i]));
    if (typeof value === 'string') {
      const kind = [here, ...(here.anyOf ?? here.oneOf ?? [])].find((variant) => variant.path)?.path;
      return kind ? change(value, kind, path) : value;
    }
    const isKnown = typeof value === 'object' && value !== null && Object.keys(here).length > 0;
    if (!isKnown || Object.getPrototypeOf(value) !== Object.prototype) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, inner]) => [key, mapped(inner, step(here, key), [...path, key])]),
    );
  };
  return mapped(given, json, []);
}

/** The path as it is written on the command line. */
export function dotted(path: KeyPath): string {
  return path.join('.');
}

/** The predicate for a name that is none of the known ones. */
export function unknownName(came: unknown, names: readonly string[]): string {
  const near = typeof came === 'string' ? nearestName(came, names) : undefined;
  return `${needs(either(names), came)}${near ? `; did you mean ${near}?` : ''}`;
}

/** What is read here of JSON Schema. */
interface JsonSchema {
  readonly description?: string;
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly string[];
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: JsonSchema | boolean;
  readonly prefixItems?: readonly JsonSchema[];
  readonly items?: JsonSchema | boolean;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  /** Ours; see pathTo. */
  readonly path?: PathKind;
}

/** Leaves to `needed` what it can say better, and says the rest in zod's words. */
const ruleOf: z.core.$ZodErrorMap = (issue) => {
  const isSize = issue.code === 'too_small' || issue.code === 'too_big';
  const isText = isSize && issue.origin === 'string' && !(issue.code === 'too_small' && issue.minimum === 1);
  if (!isText && issue.code !== 'invalid_format' && issue.code !== 'not_multiple_of') return '';
  const said = z.config().localeError?.(issue);
  return `is refused: ${typeof said === 'string' ? said : said?.message}`;
};

/** What is needed, and what came. */
function needed(json: JsonSchema, came: unknown): string {
  return json.enum && !json.description ? unknownName(came, json.enum) : needs(need(json), came);
}

function needs(what: string, came: unknown): string {
  return came === undefined ? `is missing; it must be ${what}` : `must be ${what}, got ${show(came)}`;
}

function need(json: JsonSchema): string {
  if (json.description) return json.description;
  const variants = (json.anyOf ?? json.oneOf)?.filter(({ type }) => type !== 'null');
  if (variants) return either(variants.map(need));
  if (json.const !== undefined) return String(json.const);
  if (json.enum) return either(json.enum);
  if (json.type === 'number' || json.type === 'integer') return number(json);
  return words.get(json.type) ?? 'another value';
}

const words = new Map<string | undefined, string>([
  ['boolean', 'true or false'],
  ['string', 'a text'],
  ['array', 'a list'],
  ['object', 'a section of keys'],
]);

/** `a whole number from 0 to 9`, `a number above 0 and at most 1`. */
function number(json: JsonSchema): string {
  const within = (bound?: number) =>
    Math.abs(bound ?? Infinity) < Number.MAX_SAFE_INTEGER ? bound : undefined;
  const [least, most] = [within(json.minimum), within(json.maximum)];
  const [above, below] = [within(json.exclusiveMinimum), within(json.exclusiveMaximum)];
  const noun = json.type === 'integer' ? 'a whole number' : 'a number';
  if (least !== undefined && most !== undefined) return `${noun} from ${least} to ${most}`;
  const low = above !== undefined ? `above ${above}` : least !== undefined ? `of at least ${least}` : '';
  const high = below !== undefined ? `below ${below}` : most !== undefined ? `at most ${most}` : '';
  return [noun, [low, high].filter(Boolean).join(' and ')].filter(Boolean).join(' ');
}

/** Words as English lists them: `a`, `a or b`, `a, b or c`. */
function either(words: readonly string[]): string {
  return words.length < 2 ? words.join() : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}

/** The nearest key there is, or the one section that has the key; else the keys there are. */
function keyHint(json: JsonSchema, path: KeyPath, spell: Spell): string {
  const key = path.at(-1) as string;
  const parent = path.slice(0, -1);
  const last = (spelt: KeyPath) => String(spell(spelt).at(-1));
  const names = keysAt(json, parent).map((sibling) => last([...parent, sibling]));
  const near = nearestName(last(path), names);
  if (near) return `did you mean ${dotted([...spell(path).slice(0, -1), near])}?`;
  const [section, another] = keysAt(json, []).filter((name) => keysAt(json, [name]).includes(key));
  if (section && !another) return `did you mean ${dotted(spell([section, key]))}?`;
  return `${dotted(spell(parent)) || 'the top level'} takes ${names.join(', ') || 'none'}`;
}

/** The keys of the section at a path, or of the first in the list there. */
function keysAt(json: JsonSchema, path: KeyPath): string[] {
  const found = structure(schemaAt(json, path));
  return Object.keys((found.properties ? found : structure(step(found, 0))).properties ?? {});
}

function schemaAt(json: JsonSchema, path: KeyPath): JsonSchema {
  return path.reduce(step, json);
}

function step(json: JsonSchema, key: string | number): JsonSchema {
  const { prefixItems, items, properties, additionalProperties } = structure(json);
  const inner =
    typeof key === 'number' ? (prefixItems?.[key] ?? items) : (properties?.[key] ?? additionalProperties);
  return typeof inner === 'object' ? inner : {};
}

/** Of several variants the one that has keys or places, if any has. */
function structure(json: JsonSchema): JsonSchema {
  return (json.anyOf ?? json.oneOf)?.find(({ type }) => type === 'object' || type === 'array') ?? json;
}

function valueAt(value: unknown, path: KeyPath): unknown {
  return path.reduce<unknown>(
    (inner, key) => (inner as Record<string | number, unknown> | undefined)?.[key],
    value,
  );
}
