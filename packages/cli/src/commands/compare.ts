import { existsSync } from 'node:fs';
import { ConfigError, DataError } from '@flex/base';
import { holdsStudy, readStudy } from '@flex/study';
import { holdsRun } from '@flex/train';
import { Command } from 'commander';
import { compareEvaluations } from '../compare/evaluations.ts';
import { compareTwoRuns } from '../compare/runs.ts';
import { compareTwoStudies, tellStudy } from '../compare/studies.ts';
import { type CommonOptions, outputOf, withCommonOptions } from '../context.ts';
import { kList, placeOf } from '../option-values.ts';

interface CompareOptions extends CommonOptions {
  readonly force?: boolean;
  readonly k?: readonly number[];
  readonly diff: boolean;
}

export function compareCommand(): Command {
  const command = new Command('compare')
    .description(
      'two evaluations, runs or studies, or the arms of one study: the differences, and whether they are chance',
    )
    .argument('<a>', 'a folder that flex eval, flex train or flex study wrote', placeOf('file'))
    .argument(
      '[b]',
      'another one of its kind; none of a study: its arms with their controls',
      placeOf('file'),
    )
    .option(
      '--k <list>',
      'evaluations: the k of pass@k, such as 10,1, that of the problems shown first; else all that both have',
      kList,
    )
    .option('--force', 'evaluations: compare in spite of different protocols')
    .option('--diff', 'evaluations: show how the answers to a problem differ (the default)', true)
    .option('--no-diff', 'evaluations: only name the problems');
  return withCommonOptions(command).action(run);
}

/** What can be compared, by the kind of its folder. */
type Kind = 'study' | 'run' | 'evaluation';

function run(a: string, b: string | undefined, { force = false, k, diff, ...common }: CompareOptions): void {
  const output = outputOf(common);
  const kind = kindOf(a);
  const option = force ? '--force' : k ? '--k' : null;
  if (kind !== 'evaluation' && option) {
    throw new ConfigError(`compare: ${option} is for evaluations; ${a} holds ${withArticle(kind)}`);
  }
  if (b === undefined) {
    if (kind !== 'study') {
      throw new ConfigError(
        `compare: ${a} holds ${withArticle(kind)} alone; name another to compare it with`,
      );
    }
    tellStudy(readStudy(a), output);
    return;
  }
  const other = kindOf(b);
  if (kind !== other) {
    throw new ConfigError(
      `compare: ${a} holds ${withArticle(kind)} and ${b} ${withArticle(other)}; compare two of a kind`,
    );
  }
  if (kind === 'study') compareTwoStudies(readStudy(a), readStudy(b), output);
  else if (kind === 'run') compareTwoRuns(a, b, output);
  else compareEvaluations([a, b], { force, k, diff }, output);
}

function kindOf(folder: string): Kind {
  if (!existsSync(folder)) throw new DataError(`${folder}: there is no such folder`);
  if (holdsStudy(folder)) return 'study';
  return holdsRun(folder) ? 'run' : 'evaluation';
}

function withArticle(kind: Kind): string {
  return kind === 'evaluation' ? 'an evaluation' : `a ${kind}`;
}
