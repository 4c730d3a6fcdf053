/** How judging a program ended; the same words in every file. */
export const verdicts = [
  'passed',
  'failed',
  'compile_error',
  'timeout',
  'memory',
  'output_limit',
  'blocked',
  'missing',
] as const;
export type Verdict = (typeof verdicts)[number];

/**
 * Why a program did not pass, finer than its verdict: `assertion` a test's assertion failed; `exception` it
 * raised; `exited` it ended before the tests did; `compile` it does not compile or parse; `timeout` it used up
 * its seconds, `never-stopped` it did nothing for nine in ten of them; `protocol` it sent the judge what is no
 * answer to a call; `memory`, `output` and `blocked` as the verdicts say; `missing` there was no sample.
 */
export const failures = [
  'assertion',
  'exception',
  'exited',
  'compile',
  'timeout',
  'never-stopped',
  'memory',
  'output',
  'protocol',
  'blocked',
  'missing',
] as const;
export type Failure = (typeof failures)[number];

/** Whether the tests ran in another process than the candidate, where it cannot reach them, or in its own. */
export const assurances = ['isolated', 'in-process'] as const;
export type Assurance = (typeof assurances)[number];

/** The judge's word on one program. */
export interface Judgement {
  readonly verdict: Verdict;
  /** null for a pass. */
  readonly failure: Failure | null;
  /** One short line for people: the exception, the compiler's first error, the limit that was hit. */
  readonly detail: string;
  readonly assurance: Assurance;
  /** Wall-clock seconds of the whole check. */
  readonly seconds: number;
  /** It, or what decides how it is judged, had too little of a processor: alone, it may end otherwise. */
  readonly starved?: true;
}

/** What was found about a program. */
export type Finding = Omit<Judgement, 'assurance' | 'seconds'>;

export const passed: Finding = { verdict: 'passed', failure: null, detail: '' };
