import { join } from 'node:path';
import { ConfigError, locate } from '@flex/base';
import { type Reading, readings, roundStudy, rounds, studyOf } from '@flex/study';
import { Command, InvalidArgumentError, Option } from 'commander';
import { outputOf } from '../context.ts';
import { placeOf } from '../option-values.ts';
import { roundMaterial } from '../round-material.ts';
import { doStudy, type StudyCommandOptions, withStudyOptions } from './study.ts';

interface ReproduceOptions extends StudyCommandOptions {
  readonly reading: Reading;
  readonly data?: string;
}

export function reproduceCommand(): Command {
  const command = new Command('reproduce')
    .description('a round of the paper as a study: what it claims beside what is measured here')
    .argument('<round>', `${rounds.map(({ title }, i) => `${i}: ${title}`).join('; ')}`, roundNumber)
    .argument(
      '[settings...]',
      'model=PATH for another than the bundled model, and keys of the study: seeds=1',
    )
    .addOption(
      new Option('--reading <name>', "the paper's text, its scripts, or a sound protocol")
        .choices(readings)
        .default('corrected' satisfies Reading),
    )
    .option(
      '--data <folder>',
      'of MBPP and its like; else the bundled tasks, or with model= the folder FLEX_DATA, or ./data',
      placeOf('dataset'),
    );
  return withStudyOptions(command).action(run);
}

async function run(
  round: number,
  settings: readonly string[],
  options: ReproduceOptions,
  command: Command,
): Promise<void> {
  const { reading, data } = options;
  const isModel = (text: string) => text.startsWith('model=');
  const models = settings.filter(isModel).map((text) => text.slice('model='.length));
  if (models.length > 1) throw new ConfigError('reproduce: model= is given twice');
  const model = models.length === 1 ? locate(models[0], 'model') : undefined;
  const value = {
    ...roundStudy(round, reading, roundMaterial({ model, data })),
    out: join('runs', `round-${round}-${reading}`),
  };
  const name = `round ${round}`;
  const study = studyOf(
    { value, where: () => name },
    name,
    settings.filter((text) => !isModel(text)),
  );
  const output = outputOf(options);
  for (const line of [study.title!, ...study.notes]) output.note(line);
  await doStudy(study, options, command);
}

function roundNumber(text: string): number {
  if (/^\d$/.test(text) && Number(text) < rounds.length) return Number(text);
  throw new InvalidArgumentError(`It must be a round from 0 to ${rounds.length - 1}.`);
}
