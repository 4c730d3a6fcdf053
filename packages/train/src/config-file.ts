import { extname, resolve } from 'node:path';
import { ConfigError, DataError, importDefault, type KeyPath, readWhole } from '@flex/base';
import { parse as parseToml, TomlError } from 'smol-toml';
import { type Document, isAlias, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import { isSection, respellConfig, type Section } from './config-section.ts';

/** What a configuration file says, and where in it. */
export interface ConfigFile {
  readonly value: Section;
  /** `run.yaml:7`, the line of the deepest part of the path that the file has; TOML gives no lines. */
  readonly where: (path: KeyPath) => string;
}

/**
 * The content of a configuration file, read as YAML, TOML or JSON by its extension, or the default export of
 * a recipe, spelt as in a file. Throws ConfigError, with the line, where there is no such file, where it is
 * malformed, and where it is no section of keys.
 */
export async function readConfigFile(file: string): Promise<ConfigFile> {
  const extension = extname(file).toLowerCase();
  if (['.yaml', '.yml', '.json'].includes(extension)) return readYaml(readText(file), file);
  if (extension === '.toml') return readToml(readText(file), file);
  if (['.ts', '.mts', '.js', '.mjs'].includes(extension)) return readRecipe(file);
  throw new ConfigError(`${file}: a configuration file must end in .yaml, .yml, .toml or .json`);
}

async function readRecipe(file: string): Promise<ConfigFile> {
  const recipe = await importDefault(resolve(file));
  if (isSection(recipe)) return { value: respellConfig(recipe), where: () => file };
  throw new ConfigError(`${file}: must have a default export made with defineRecipe({ … })`);
}

/** YAML's parser takes a thousand times a list's bytes, and seconds a MiB. */
const maxConfigBytes = 1 << 17;

function readText(file: string): string {
  try {
    return readWhole(file, maxConfigBytes).toString();
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') throw new ConfigError(`${file}: there is no such file`);
    throw new ConfigError(error instanceof DataError ? message : `${file}: cannot be read: ${message}`);
  }
}

/** JSON is read here too: it is YAML, and YAML's parser knows the lines. */
function readYaml(text: string, file: string): ConfigFile {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem) throw new ConfigError(`${file}:${lines.linePos(problem.pos[0]).line}: ${problem.message}`);
  return {
    value: asSection(toValue(document, file), file),
    where: (path) => {
      const offset = offsetOf(document, path);
      return offset === undefined ? file : `${file}:${lines.linePos(offset).line}`;
    },
  };
}

/** A value written as in YAML, such as `2e-4`, `null` or `[{source: x}]`. `where` begins the error's line. */
export function parseYamlValue(text: string, where: string): unknown {
  const document = parseDocument(text, { prettyErrors: false });
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem) throw new ConfigError(`${where}: ${problem.message}`);
  return toValue(document, where);
}

function toValue(document: Document, where: string): unknown {
  try {
    const value: unknown = document.toJS();
    requireNoCycle(value, []);
    return value;
  } catch (error) {
    throw new ConfigError(`${where}: ${(error as Error).message}`);
  }
}

/** Throws for an alias that stands in what it names, of which no walk would come to an end. */
function requireNoCycle(value: unknown, within: readonly unknown[]): void {
  if (typeof value !== 'object' || value === null) return;
  if (within.includes(value)) throw new ConfigError('an alias stands in what it names');
  for (const inner of Object.values(value)) requireNoCycle(inner, [...within, value]);
}

function readToml(text: string, file: string): ConfigFile {
  try {
    return { value: asSection(parseToml(text), file), where: () => file };
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    throw new ConfigError(`${file}:${error.line}: ${error.message.split('\n')[0]}`);
  }
}

function asSection(value: unknown, file: string): Section {
  if (value === null) return {};
  if (isSection(value)) return value;
  throw new ConfigError(`${file}: must be a section of keys, not a list or a single value`);
}

/** The place in the text of the deepest part of the path that the document has. */
function offsetOf(document: Document, path: KeyPath): number | undefined {
  let node: unknown = document.contents;
  let offset: number | undefined;
  for (const step of path) {
    if (isAlias(node)) node = node.resolve(document);
    let found: unknown;
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(step));
      found = pair?.key;
      node = pair?.value;
    } else {
      found = isSeq(node) ? node.items[Number(step)] : undefined;
      node = found;
    }
    if (!isNode(found) || !found.range) break;
    offset = found.range[0];
  }
  return offset;
}
