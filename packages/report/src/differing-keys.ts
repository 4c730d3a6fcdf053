import { isSection, readConfigFile } from '@flex/train';
import { type Block, tableOf } from './report.ts';

/** A run's resolved configuration and what it goes by. */
export interface NamedConfig {
  readonly name: string;
  readonly file: string;
}

/** Every key of configurations in which they differ, and what each has; but for `out`, which is theirs alone. */
export async function differingKeys(configs: readonly NamedConfig[]): Promise<Block[]> {
  const read = await Promise.all(
    configs.map(async ({ name, file }) => ({ name, leaves: leavesOf((await readConfigFile(file)).value) })),
  );
  const keys = [...new Set(read.flatMap(({ leaves }) => [...leaves.keys()]))];
  // A part that one has by its name alone, as `regularizer: none`, is beside the names of the others'.
  const nameOf = (key: string) => (keys.includes(`${key}.name`) ? `${key}.name` : key);
  const rows = read.map(({ name, leaves }) => ({
    name,
    leaves: new Map([...leaves].map(([key, value]) => [nameOf(key), value])),
  }));
  const differ = [...new Set(keys.map(nameOf))].filter(
    (key) => key !== 'out' && new Set(rows.map(({ leaves }) => leaves.get(key))).size > 1,
  );
  if (differ.length === 0) return [];
  const columns = [{ title: 'runs' }, ...differ.map((key) => ({ title: key }))];
  const cells = rows.map(({ name, leaves }) => [name, ...differ.map((key) => leaves.get(key) ?? '–')]);
  return [tableOf('Every key in which the configurations differ', columns, cells)];
}

/** The values of a configuration by their key paths; the only part of a list goes by the list's key. */
function leavesOf(config: unknown): Map<string, string> {
  const leaves = new Map<string, string>();
  const walk = (value: unknown, path: readonly string[]): void => {
    if (isSection(value)) {
      for (const [key, member] of Object.entries(value)) walk(member, [...path, key]);
    } else if (Array.isArray(value) && value.some(isSection)) {
      value.forEach((member, i) => {
        walk(member, value.length === 1 ? path : [...path, String(i)]);
      });
    } else {
      leaves.set(path.join('.'), typeof value === 'string' ? value : JSON.stringify(value));
    }
  };
  walk(config, []);
  return leaves;
}
