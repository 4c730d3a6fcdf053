import { isAbsolute, relative } from 'node:path';
import { ConfigError, DataError } from './errors.ts';

/** What errors and warnings call a part: `regularizer "mine" (recipes/mine.ts)`, with the file of its module. */
export function partTitle(kind: string, name: string, module?: unknown): string {
  const title = `${kind} "${name}"`;
  if (typeof module !== 'string') return title;
  const short = isAbsolute(module) ? relative(process.cwd(), module) : module;
  return `${title} (${short.startsWith('..') ? module : short})`;
}

type ErrorClass = new (message: string, options: ErrorOptions) => Error;

/** An error of the kind of `cause`, ConfigError, DataError, a further one or Error; it begins with the name. */
export function namedError(name: string, cause: unknown, further: readonly ErrorClass[] = []): Error {
  const message = `${name}: ${cause instanceof Error ? cause.message : String(cause)}`;
  const Kind = [ConfigError, DataError, ...further].find((kind) => cause instanceof kind) ?? Error;
  return new Kind(message, { cause });
}
