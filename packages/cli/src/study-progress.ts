import { join } from 'node:path';
import { type Job, logFileOf, type Outcome, type Progress, type StudyObserver } from '@flex/study';
import type { Output } from './context.ts';
import { duration } from './duration.ts';
import { fromHere } from './from-here.ts';
import { newLiveLine } from './live-line.ts';

/** Tells how a study goes: one live line, a line a job that ends; with --json an object of each. */
export interface StudyProgress extends Required<StudyObserver> {
  stop(): void;
}

/** A job in work. */
interface Running {
  readonly began: number;
  words: string;
  /** Its share that is done. */
  share: number;
  /** That when its first update since it began was done; null before. */
  firstShare: number | null;
}

export function newStudyProgress(quiet: boolean, output: Output): StudyProgress {
  const live = newLiveLine(quiet);
  const started = performance.now();
  const running = new Map<Job, Running>();
  const jobs = { all: 0, done: 0, failed: 0, left: 0 };
  /** What was done since the start of jobs that are done, a job being 1. */
  let made = 0;

  const show = () => {
    const inWork = [...running.values()];
    const madeInWork = inWork.map(({ share, firstShare }) => share - (firstShare ?? share));
    const perSecond = (1000 * (made + sum(madeInWork))) / (performance.now() - started);
    const rest = jobs.left - sum(inWork.map(({ share }) => share));
    live.show(jobs.done, jobs.all, [
      `${jobs.done}/${jobs.all} jobs done`,
      ...(jobs.failed > 0 ? [`${jobs.failed} failed`] : []),
      ...inWork.map(({ words }) => words),
      ...(perSecond > 0 && rest > 0 ? [`${duration(rest / perSecond)} left`] : []),
    ]);
  };
  const tellEnd = (job: Job, outcome: Outcome, seconds: number) => {
    const { name } = job;
    const made = job.until === undefined ? 'is done' : `has made ${job.until} updates and waits`;
    if (outcome.status === 'done') live.line(`${name} ${made}, ${duration(seconds)}`);
    if (outcome.status === 'interrupted') live.line(`${name} was interrupted; what it has is kept`);
    if (outcome.status === 'failed') {
      output.warn(`${name} failed: ${outcome.failure.error} (log: ${fromHere(logOf(job))})`);
    }
    output.emit({
      job: name,
      status: outcome.status,
      seconds: Number(seconds.toFixed(1)),
      ...(outcome.status === 'failed' && { error: outcome.failure.error, log: logOf(job) }),
    });
  };
  return {
    onNote: output.note,
    onStart({ all, pending, failed }) {
      const done = all.length - pending.length - failed.length;
      Object.assign(jobs, { all: all.length, done, failed: failed.length, left: pending.length });
      const words = [
        `${pending.length} of ${all.length} jobs to do`,
        ...(done > 0 ? [`${done} done before`] : []),
        ...(failed.length > 0 ? [`${failed.length} failed before (--retry tries them again)`] : []),
      ];
      live.line(words.join(', '));
    },
    onBegin(job) {
      running.set(job, { began: performance.now(), words: job.name, share: 0, firstShare: null });
      show();
    },
    onProgress(job, progress) {
      const one = running.get(job)!;
      one.words = `${job.name}${wordsOf(progress)}`;
      one.share = shareOf(job, progress);
      if (progress.updates) one.firstShare ??= one.share;
      show();
    },
    onEnd(job, outcome) {
      const { began, firstShare } = running.get(job)!;
      running.delete(job);
      jobs.left--;
      if (outcome.status === 'failed') jobs.failed++;
      if (outcome.status === 'done') {
        jobs.done++;
        made += 1 - (firstShare ?? 0);
      }
      tellEnd(job, outcome, (performance.now() - began) / 1000);
      show();
    },
    stop: live.stop,
  };
}

const sum = (of: readonly number[]) => of.reduce((total, one) => total + one, 0);

const logOf = ({ folder, name }: Job) => join(folder, logFileOf(name));

/** The share of a job that is done: its commands count alike. */
function shareOf({ run, evaluations }: Job, { stage, updates }: Progress): number {
  const stages = [...(run ? ['train'] : []), ...evaluations.map(({ name }) => name)];
  const within = updates ? updates.done / updates.of : 0;
  return (Math.max(0, stages.indexOf(stage)) + within) / stages.length;
}

function wordsOf({ stage, updates }: Progress): string {
  if (updates) return ` ${updates.done}/${updates.of}`;
  if (stage === 'waits') return ' waits for another process';
  return stage === 'train' ? '' : ` ${stage}`;
}
