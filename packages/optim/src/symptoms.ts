import type { Columns } from './optimizer.ts';

/** Updates in a row that something must hold in before it is said. */
export const patience = 50;

/** What is said where something holds of the columns of each of so many updates. */
export interface Symptom {
  readonly words: string;
  /** `of` gives a column's number, and NaN where it has none. */
  holds(of: (column: string) => number): boolean;
}

/** The words of the symptoms that hold of an update and of each of the `patience` − 1 before it. */
export function lastingSymptoms(
  symptoms: readonly Symptom[],
  update: Columns,
  before: readonly Columns[],
): string[] {
  const recent = [...before.slice(1 - patience), update];
  if (recent.length < patience) return [];
  const numberIn = (columns: Columns) => (column: string) => {
    const value = columns[column];
    return typeof value === 'number' ? value : Number.NaN;
  };
  return symptoms
    .filter(({ holds }) => recent.every((line) => holds(numberIn(line))))
    .map(({ words }) => words);
}
