import chalk from 'chalk';
import Table from 'cli-table3';

/** A table in the house's style; without colour where standard output takes none. */
export function newTable(options: Omit<Table.TableConstructorOptions, 'style'> = {}): Table.Table {
  return new Table({ ...options, style: { head: [], border: chalk.level > 0 ? ['dim'] : [] } });
}
