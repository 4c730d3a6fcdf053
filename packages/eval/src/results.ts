import { createHash } from 'node:crypto';
import { canonicalJson } from '@flex/base';
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
  readonly [key: string]: unknown;
}

/** results.json but for what was measured: which benchmark, and by which protocol. Shares are of 1. */
export interface Score {
  readonly 'pass@1': number;
  readonly [pass: `pass@${number}`]: number;
  /** Problems in the mean. */
  readonly n: number;
  /** The 95 % interval of pass@1. */
  readonly ci95: readonly [low: number, high: number];
  /** Samples by verdict, those that are missing among them. */
  readonly counts: Readonly<Record<Verdict, number>>;
  readonly samples_per_problem: number;
  readonly incomplete: Incomplete;
  /** Problems left out of the mean because they have no sample. */
  readonly dropped: number;
  /** Samples that did not pass, by failure. */
  readonly failures: Readonly<Record<Failure, number>>;
  readonly languages: Readonly<Partial<Record<LanguageId, LanguageScore>>>;
  /** Judged samples by assurance. */
  readonly assurance: Readonly<Record<Assurance, number>>;
}

export interface LanguageScore {
  readonly n: number;
  readonly 'pass@1': number;
}

/** results.json. */
export interface Results extends Score {
  readonly benchmark: string;
  /** protocolHash(protocol_parts) */
  readonly protocol: string;
  /** Everything that can change a score but the model: two results with equal parts may be compared. */
  readonly protocol_parts: Readonly<Record<string, unknown>>;
}

/** The keys that a judged row adds to a sample's own; a sample's own keys of these names give way. */
const judged = new Set(['verdict', 'failure', 'detail', 'assurance', 'seconds', 'language']);

/**
 * The row of a sample: its own row and the judge's word. Its task_id stays as it was where it is the
 * problem's id, be it as a number; another way of writing that id (`Mbpp/11`) becomes the problem's own.
 */
export function sampleRow(
  row: Readonly<Record<string, unknown>>,
  { id, language }: Pick<Problem, 'id' | 'language'>,
  { verdict, failure, detail, assurance, seconds }: Judgement,
): SampleRow {
  const kept = Object.fromEntries(Object.entries(row).filter(([key]) => !judged.has(key)));
  const task_id = String(row.task_id) === id ? (row.task_id as string | number) : id;
  return { ...kept, task_id, verdict, failure, detail, assurance, seconds, language };
}

/** The row of a sample that is not there. */
export function missingRow({ id, language }: Pick<Problem, 'id' | 'language'>): SampleRow {
  const [verdict, failure] = ['missing', 'missing'] as const;
  return {
    task_id: id,
    verdict,
    failure,
    detail: 'no sample',
    assurance: null,
    seconds: 0,
    language,
  };
}

/** A row as a line of samples.jsonl, its end included. */
export function encodeSample(row: SampleRow): string {
  return `${JSON.stringify(row)}\n`;
}

/** The text of results.json; the order of keys does not depend on that of `results`. */
export function encodeResults(results: Results): string {
  const { n, ci95, counts, protocol, samples_per_problem, incomplete, dropped, assurance, benchmark } =
    results;
  const ordered = {
    ...Object.fromEntries(passKeys(results).map((key) => [key, results[key]])),
    n,
    ci95,
    counts: inOrder(counts, verdicts),
    protocol,
    benchmark,
    samples_per_problem,
    incomplete,
    dropped,
    failures: inOrder(results.failures, failures),
    languages: Object.fromEntries(
      languageIds.flatMap((language) => {
        const score = results.languages[language];
        return score === undefined ? [] : [[language, { n: score.n, 'pass@1': score['pass@1'] }]];
      }),
    ),
    assurance: inOrder(assurance, assurances),
    protocol_parts: JSON.parse(canonicalJson(results.protocol_parts, 'protocol_parts')) as unknown,
  };
  return `${JSON.stringify(ordered, null, 2)}\n`;
}

/** The keys `pass@1`, `pass@10` … of a score, smallest k first. */
export function passKeys(score: object): `pass@${number}`[] {
  return Object.keys(score)
    .flatMap((key) => /^pass@([1-9][0-9]*)$/.exec(key)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b)
    .map((k) => `pass@${k}` as const);
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
