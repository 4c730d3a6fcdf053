import { totalmem } from 'node:os';
import { printable } from '@flex/base';
import type { ArmEstimate, Study, StudyEstimate, StudyPlan } from '@flex/study';
import type { Output } from './context.ts';
import { duration } from './duration.ts';
import { fromHere } from './from-here.ts';
import type { LocalOptions } from './local-launcher.ts';
import { newTable } from './table.ts';

/** Prints what a study is to do and what it takes: for people, or as one object with --json. */
export function printStudyPlan(
  { study, arms, runs }: StudyPlan,
  estimate: StudyEstimate,
  { output, local }: { readonly output: Output; readonly local: LocalOptions },
): void {
  output.emit({
    out: study.out,
    seeds: study.seeds,
    arms: arms.map(({ name, isLevel, levels, controls }, i) => {
      const { runs, done, cost, basis } = estimate.arms[i];
      const { seconds, memoryBytes } = cost;
      const took = { seconds_a_run: Math.round(seconds), memory_bytes: memoryBytes, basis };
      return { name, is_level: isLevel, levels, controls, runs, done, ...took };
    }),
    evaluations: estimate.evaluations,
    off: study.off,
    runs: runs.length,
    jobs_left: estimate.left,
    jobs_at_once: local.jobs,
    hours: Number((estimate.seconds / 3600).toFixed(3)),
    memory_bytes: estimate.memoryBytes,
  });
  const table = newTable({ head: ['arm', 'is', 'done', 'a run takes', 'which rests on'] });
  for (const [i, { name, isLevel, controls }] of arms.entries()) {
    const { runs, done, cost, basis } = estimate.arms[i];
    const roles = controls.map(({ kind, of }) => `${kind} of ${of}`);
    const is = isLevel ? ['a level', ...roles] : roles;
    table.push([name, is.join('\n'), `${done} of ${runs}`, takes(cost), basis]);
  }
  const count = `${counted(arms.length, 'arm')} × ${counted(study.seeds.length, 'seed')} = ${counted(runs.length, 'run')}`;
  output.print(printable(`${fromHere(study.out)}: ${count}, ${counted(estimate.left, 'job')} left`));
  output.print(table.toString());
  for (const line of evaluationLines(study, estimate)) output.print(printable(line));
  for (const [control, why] of Object.entries(study.off)) {
    output.print(printable(`control switched off: ${control}: ${why}`));
  }
  if (estimate.left === 0) return;
  const atOnce = local.jobs > 1 ? `, ${local.jobs} jobs at once` : '';
  output.print(`time left: about ${duration(estimate.seconds)}${atOnce}`);
  output.print(`memory: about ${mebibytes(estimate.memoryBytes)} of tensors${atOnce}`);
  const isTooMuch = local.device !== 'webgpu' && estimate.memoryBytes > totalmem();
  if (isTooMuch) output.warn(`that is more than the ${mebibytes(totalmem())} of this machine`);
}

const counted = (count: number, word: string) => `${count} ${word}${count === 1 ? '' : 's'}`;

const takes = ({ seconds, memoryBytes }: ArmEstimate['cost']) =>
  `${duration(seconds)}, ${mebibytes(memoryBytes)}`;

const mebibytes = (bytes: number) => `${Math.round(bytes / 2 ** 20).toLocaleString('en')} MiB`;

function evaluationLines({ off }: Study, { evaluations }: StudyEstimate): string[] {
  const ofBase = off['base-model'] === undefined ? ', and of the base model' : '';
  return evaluations.map(({ name, seconds }) => {
    const time = seconds === null ? 'takes a time that is not counted, as none is done' : duration(seconds);
    return `evaluation ${name} of each run${ofBase}: ${time}`;
  });
}
