import { type PassScore, passKeys, type Score } from '@flex/eval';
import { bold } from './context.ts';
import { newTable } from './table.ts';

/** A score as a table: each pass@k with its interval, by language too where there are several; counts. */
export function scoreTable(score: Score): string {
  const table = newTable({ colAligns: ['left', 'right'] });
  const addPasses = (passes: PassScore, of: string) => {
    for (const key of passKeys(passes)) {
      const [low, high] = passes.intervals[key].map(percent);
      table.push([bold(`${key}${of}`), `${percent(passes[key])}  (95 %: ${low} to ${high})`]);
    }
  };
  addPasses(score, '');
  if (score.base) addPasses(score.base, ' of the base tests');
  const languages = Object.entries(score.languages);
  if (languages.length > 1) {
    for (const [language, passes] of languages) addPasses(passes, ` ${language} (${passes.n})`);
  }
  const dropped = score.dropped > 0 ? `, ${score.dropped} dropped for want of samples` : '';
  table.push(['problems', `${score.n}${dropped}`], ['samples a problem', score.samples_per_problem]);
  const tallies = [
    ...Object.entries(score.counts).filter(([, count]) => count > 0),
    ...Object.entries(score.assurance).filter(([name, count]) => name !== 'isolated' && count > 0),
  ];
  for (const [name, count] of tallies) table.push([name.replaceAll('_', ' '), count]);
  return table.toString();
}

/** `33.33 %` */
export const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;
