import { createHash } from 'node:crypto';
import { canonicalJson, type Provenance } from '@flex/base';
import {
  type Assurance,
  assurances,
  type Failure,
  failures,
  type Judgement,
  type LanguageId,
  languageIds,
  type Verdict,
  verdicts,
} from '@flex/judge';
import type { Problem } from './benchmark.ts';

/** The files of a result folder. */
export const resultFiles = { results: 'results.json', samples: 'samples.jsonl' } as const;

/** What a sample that is not there means: it failed, or its problem is scored without it. */
export const incompletes = ['fail', 'drop'] as const;
export type Incomplete = (typeof incompletes)[number];

/**
 * A row of samples.jsonl: the sample's own row and, after its keys, the judge's word on it. A sample that is
 * not there has a row too, without a completion, so that the file names every problem.
 */
export interface SampleRow {
  readonly task_id: string | number;
  readonly completion?: string;
  readonly program?: string;
  /** Evalplus's name of a whole program. */
  readonly solution?: string;
  readonly verdict: Verdict;
  readonly failure: Failure | null;
  readonly detail: string;
  /** null for a missing sample, which nobody judged. */
  readonly assurance: Assurance | null;
  /** Wall-clock seconds of the whole check. */
  readonly seconds: number;
  readonly language: LanguageId;
  /** The verdict of the base tests alone, where the benchmark has some. */
  readonly base?: Verdict;
  readonly [key: string]: unknown;
}

export type PassKey = `pass@${number}`;

/** A value for each k of pass@k that was asked for, 1 among them. */
export interface PassMap<T> {
  readonly 'pass@1': T;
  readonly [pass: PassKey]: T;
}

/** A 95 % interval. */
export type Interval = readonly [low: number, high: number];

/** pass@k of some problems, for each k. Shares are of 1. */
export interface PassScore extends PassMap<number> {
  /** Problems in the mean. */
  readonly n: number;
  /** The intervals of the shares, by their keys. */
  readonly intervals: PassMap<Interval>;
}

/** results.json but for what was measured: which benchmark, and by which protocol. */
export interface Score extends PassScore {
  /** That of pass@1 once more. */
  readonly ci95: Interval;
  /** Samples by verdict, those that are missing among them. */
  readonly counts: Readonly<Record<Verdict, number>>;
  readonly samples_per_problem: number;
  readonly incomplete: Incomplete;
  /** Problems left out of the mean because they have fewer samples than `drop` asks for, the largest k. */
  readonly dropped: number;
  /** Samples that did not pass, by failure. */
  readonly failures: Readonly<Record<Failure, number>>;
  readonly languages: Readonly<Partial<Record<LanguageId, PassScore>>>;
  /** Judged samples by assurance. */
  readonly assurance: Readonly<Record<Assurance, number>>;
  /** The score by the base tests alone, where the benchmark has some. */
  readonly base?: BaseScore;
}

/** The score of one of a benchmark's sets of tests. */
export interface BaseScore extends PassScore {
  readonly counts: Readonly<Record<Verdict, number>>;
}

/** results.json. */
export interface Results extends Score {
  readonly benchmark: string;
  /** protocolHash(protocol_parts) */
  readonly protocol: string;
  /** Everything that can change a score but the model: two results with equal parts may be compared. */
  readonly protocol_parts: Readonly<Record<string, unknown>>;
  /** Of samples.jsonl as it was written. Results from before provenance was recorded have neither. */
  readonly samples_sha256?: string;
  readonly provenance?: Provenance;
}

/** The keys that a judged row adds to a sample's own; a sample's own keys of these names give way. */
const judged = new Set(['verdict', 'failure', 'detail', 'assurance', 'seconds', 'language', 'base']);

/**
 * The row of a sample: its own row and the judge's word; with one on the base tests too, that of those where
 * they were not passed. Its task_id stays as it was where it is the problem's id, be it as a number; another
 * way of writing that id (`Mbpp/11`) becomes the problem's own.
 */
export function sampleRow(
  row: Readonly<Record<string, unknown>>,
  { id, language }: Pick<Problem, 'id' | 'language'>,
  judgement: Judgement,
  base?: Judgement,
): SampleRow {
  const decisive = base && base.verdict !== 'passed' ? base : judgement;
  const { verdict, failure, detail } = decisive;
  const judgements = base ? [base, judgement] : [judgement];
  const assurance = judgements.find((each) => each.assurance === 'in-process')?.assurance ?? 'isolated';
  const seconds = Math.round(1e4 * judgements.reduce((sum, each) => sum + each.seconds, 0)) / 1e4;
  const kept = Object.fromEntries(Object.entries(row).filter(([key]) => !judged.has(key)));
  const task_id = String(row.task_id) === id ? (row.task_id as string | number) : id;
  const told = { ...kept, task_id, verdict, failure, detail, assurance, seconds, language };
  return base ? { ...told, base: base.verdict } : told;
}

/** The row of a sample that is not there. */
export function missingRow(
  { id, language }: Pick<Problem, 'id' | 'language'>,
  { hasBase = false }: { readonly hasBase?: boolean } = {},
): SampleRow {
  const [verdict, failure] = ['missing', 'missing'] as const;
  return {
    task_id: id,
    verdict,
    failure,
    detail: 'no sample',
    assurance: null,
    seconds: 0,
    language,
    ...(hasBase && { base: verdict }),
  };
}

/** A row as a line of samples.jsonl, its end included. */
export function encodeSample(row: SampleRow): string {
  return `${JSON.stringify(row)}\n`;
}

/** The text of results.json; the order of keys does not depend on that of `results`. */
export function encodeResults(results: Results): string {
  const { ci95, counts, protocol, samples_per_problem, incomplete, dropped, assurance, benchmark, base } =
    results;
  const { intervals, ...passes } = passScoreOf(results);
  const ordered = {
    ...passes,
    ci95,
    intervals,
    counts: inOrder(counts, verdicts),
    ...(base && { base: { ...passScoreOf(base), counts: inOrder(base.counts, verdicts) } }),
    protocol,
    benchmark,
    samples_per_problem,
    incomplete,
    dropped,
    failures: inOrder(results.failures, failures),
    languages: Object.fromEntries(
      languageIds.flatMap((language) => {
        const score = results.languages[language];
        return score === undefined ? [] : [[language, passScoreOf(score)]];
      }),
    ),
    assurance: inOrder(assurance, assurances),
    protocol_parts: JSON.parse(canonicalJson(results.protocol_parts, 'protocol_parts')) as unknown,
    samples_sha256: results.samples_sha256,
    provenance: results.provenance,
  };
  return `${JSON.stringify(ordered, null, 2)}\n`;
}

/** The part of a score that is pass@k, smallest k first. */
export function passScoreOf(score: PassScore): PassScore {
  const inOrder = <T>(of: PassMap<T>) => atEachK(passDraws(of), (k) => of[`pass@${k}`]);
  return { ...inOrder<number>(score), n: score.n, intervals: inOrder(score.intervals) };
}

/** A value for each k, in the order given; 1 must be among them. */
export function atEachK<T>(ks: readonly number[], value: (k: number) => T): PassMap<T> {
  return Object.fromEntries(ks.map((k) => [`pass@${k}`, value(k)])) as unknown as PassMap<T>;
}

/** The keys `pass@1`, `pass@10` … of a score, smallest k first. */
export function passKeys(score: object): PassKey[] {
  return passDraws(score).map((k) => `pass@${k}` as const);
}

/** The k of the keys `pass@k` of a score, smallest first. */
export function passDraws(score: object): number[] {
  return Object.keys(score)
    .flatMap((key) => /^pass@([1-9][0-9]*)$/.exec(key)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

/**
 * The fingerprint of a protocol: SHA-256, in hexadecimal, of its parts as canonical JSON. Throws as that
 * does.
 */
export function protocolHash(parts: Readonly<Record<string, unknown>>): string {
  return createHash('sha256').update(canonicalJson(parts, 'protocol')).digest('hex');
}

function inOrder<K extends string>(counts: Readonly<Record<K, number>>, order: readonly K[]) {
  return Object.fromEntries(order.map((key) => [key, counts[key]]));
}
