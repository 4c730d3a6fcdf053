import { readdirSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, extname, isAbsolute, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import { ConfigError } from './errors.ts';
import { nearestName } from './nearest-name.ts';
import { oneLine } from './one-line.ts';

/**
 * What plugs in by its name: a regularizer, an optimizer, a schedule, a data format, a callback, a
 * benchmark. `schema` says which options it takes, `make` makes its value of them; `context` is what a run
 * tells the parts of this kind. Built-in parts and a stranger's come through this door alike:
 *
 *     export default definePart({
 *       name: 'total-variation',
 *       schema: z.strictObject({ order: z.int().positive().default(1) }),
 *       make: ({ order }) => ({ penalty: (adapters) => variation(adapters, order) }),
 *     });
 *
 * Options are JSON values, camelCase here and snake_case in files (see `respell`). `make` is pure: it
 * changes nothing that it is given. `checkPart` of `@flex/base/testing` tests a part in a line.
 */
export interface Part<Schema extends z.ZodObject, Value, Context = unknown, Name extends string = string> {
  readonly name: Name;
  readonly schema: Schema;
  make(options: z.output<Schema>, context: Context): Value | Promise<Value>;
}

/** Any part of a kind, whatever its options. */
export type PartOf<Value, Context = unknown> = Part<z.ZodObject, Value, Context>;

/** Types a part: `make`'s options are what its schema gives, with its defaults. */
export function definePart<
  const Name extends string,
  Schema extends z.ZodObject,
  Made,
  Context = unknown,
>(part: {
  readonly name: Name;
  readonly schema: Schema;
  make(options: z.output<Schema>, context: Context): Made;
}) {
  return part;
}

/**
 * The section of a part in a configuration: its options, further keys before and behind them, and no others,
 * unless its schema takes any. Throws ConfigError where the part has an option of the name of a further key.
 */
export function sectionSchema(
  { name, schema }: PartOf<unknown, never>,
  { before = {}, behind = {} }: { before?: z.ZodRawShape; behind?: z.ZodRawShape } = {},
): z.ZodObject {
  const taken = Object.keys({ ...before, ...behind }).find((key) => key in schema.shape);
  if (taken)
    throw new ConfigError(`${name}: its schema has the key ${taken}, which means something else here`);
  const shape = { ...before, ...schema.shape, ...behind };
  return schema.clone({ ...schema.def, shape, catchall: schema.def.catchall ?? z.never() });
}

/**
 * The file of a module: a path that begins with `./`, `../` or `/`, or the name of a package as a module in
 * `folder` would find it. Throws ConfigError, one line, where there is none.
 */
export function resolveModule(module: string, folder: string): string {
  if (isAbsolute(module) || /^\.\.?[\\/]/.test(module)) return existingFile(resolve(folder, module));
  if (isFile(resolve(folder, module))) throw new ConfigError(`${module} is a file here: write ./${module}`);
  const { resolve: find } = createRequire(join(folder, 'package.json'));
  try {
    return exportedFile(module, find.paths(module) ?? []) ?? find(module);
  } catch (cause) {
    const why = `${module} cannot be found from ${folder}: ${oneLine(messageOf(cause).split('\n')[0])}`;
    const isPath = /\.[cm]?[jt]s$/.test(module);
    throw new ConfigError(isPath ? `${why}; for a file, write ./${module}` : why, { cause });
  }
}

/** The file that `import` takes where a package says so in `exports`; undefined where it does not. */
function exportedFile(module: string, folders: readonly string[]): string | undefined {
  const [, name, path] = /^((?:@[^/]+\/)?[^/]+)(.*)$/.exec(module) ?? [];
  const root =
    name && folders.map((folder) => join(folder, name)).find((at) => isFile(join(at, 'package.json')));
  if (!root) return undefined;
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { exports?: unknown };
  const paths = (exports ?? {}) as Readonly<Record<string, unknown>>;
  const target = `.${path}` in paths ? paths[`.${path}`] : path === '' ? exports : undefined;
  const chosen = imported(target);
  return chosen && join(root, chosen);
}

/** The text that the conditions of an entry of `exports` give to `import`. */
function imported(target: unknown): string | undefined {
  if (typeof target === 'string') return target;
  const conditions = Object.entries(target ?? {}).filter(([key]) => /^(import|node|default)$/.test(key));
  return conditions.map(([, inner]) => imported(inner)).find((inner) => inner !== undefined);
}

function existingFile(file: string): string {
  if (isFile(file)) return file;
  const folder = dirname(file);
  const isFolder = statSync(folder, { throwIfNoEntry: false })?.isDirectory();
  const near = nearestName(basename(file), isFolder ? modulesIn(folder) : []);
  throw new ConfigError(
    `${file} cannot be loaded: there is no such file${near ? `; did you mean ${near}?` : ''}`,
  );
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

function modulesIn(folder: string): string[] {
  return readdirSync(folder).filter((name) => /^\.[cm]?[jt]s$/.test(extname(name)));
}

let ready: () => Promise<void> = async () => {};

/** Has `prepare` called once, when the first module of a user's is to be imported, and waited for. */
export function beforeModules(prepare: () => Promise<void>): void {
  let done: Promise<void> | undefined;
  ready = () => {
    done ??= prepare();
    return done;
  };
}

/** The default export of the module in a file. Throws ConfigError, one line that names the module. */
export async function importDefault(file: string): Promise<unknown> {
  const { href } = pathToFileURL(existingFile(file));
  await ready();
  try {
    return (await import(href)).default;
  } catch (cause) {
    const line = lineIn(cause, file);
    const where = line === undefined ? '' : ` (line ${line})`;
    throw new ConfigError(`${file} cannot be loaded: ${oneLine(messageOf(cause))}${where}`, { cause });
  }
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message || thrown.name : String(thrown);
}

/** The line of the file that an error was thrown in, where its stack has one. */
function lineIn(thrown: unknown, file: string): string | undefined {
  const stack = (thrown instanceof Error && thrown.stack) || '';
  const place = stack.split('\n').find((line) => line.includes(`${file}:`)) ?? '';
  return /^\d+/.exec(place.slice(place.indexOf(`${file}:`) + file.length + 1))?.[0];
}

/** The part that a module has as its default export. Throws ConfigError, one line, where there is none. */
export async function importPart(module: string): Promise<PartOf<unknown, never>> {
  const found = await importDefault(module);
  if (isPart(found)) return found;
  throw new ConfigError(`${module} must have a default export made with definePart({ name, schema, make })`);
}

export function isPart(value: unknown): value is PartOf<unknown, never> {
  const { name, schema, make } = (value ?? {}) as Partial<PartOf<unknown, never>>;
  return typeof name === 'string' && schema instanceof z.ZodObject && typeof make === 'function';
}
