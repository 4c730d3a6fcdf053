import { statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { ConfigError } from '@flex/base';

/** A benchmark that goes by its name, and where its data lie. */
export interface NamedData {
  readonly name: string;
  readonly format: string;
  /** Names in a data folder. */
  readonly files: readonly string[];
}

/** A named benchmark's data: as given, in the given folder, or in the data folder. Throws ConfigError. */
export function findData(
  { name, format, files }: NamedData,
  data: string | null,
  dataFolder: string | null,
): string {
  if (data === null) return findIn(dataFolder, files, name);
  const isFolder = statSync(data, { throwIfNoEntry: false })?.isDirectory() ?? false;
  if (!isFolder || format === 'apps') return data;
  return findIn(data, [...new Set(files.flatMap((file) => [file, basename(file)]))], name);
}

/** The first of these names, gzipped or not, that is in the folder. */
function findIn(folder: string | null, names: readonly string[], benchmark: string): string {
  const cure = 'give the path of the data with --data';
  if (folder === null)
    throw new ConfigError(`${benchmark}: no data was named and there is no data folder; ${cure}`);
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() === false)
    throw new ConfigError(`${benchmark}: ${folder} is a file, and no data folder; ${cure}`);
  for (const name of names.flatMap((plain) => [plain, `${plain}.gz`])) {
    const path = join(folder, name);
    if (statSync(path, { throwIfNoEntry: false })) return path;
  }
  throw new ConfigError(`${benchmark}: no ${names.join(' or ')} in ${folder}; put it there, or ${cure}`);
}
