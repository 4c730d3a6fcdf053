import type { Language, Signs } from '../language.ts';
import { judgeAppended } from '../protocol/appended.ts';
import { findingOfEnd } from '../protocol/finding.ts';
import { judgeTranscripts } from '../protocol/transcripts.ts';
import type { BoxEnd } from '../sandbox/box.ts';
import { defaultLimits } from '../sandbox/limits.ts';
import { openSandbox } from '../sandbox/sandbox.ts';
import { toolchainVersion } from '../toolchain.ts';
import type { Failure, Finding, Verdict } from '../verdict.ts';
import { type Body, type Examples, readExamples } from './examples.ts';

/** A claim about one program: its verdict, and where it is not null why that. */
interface Claim {
  readonly claim: string;
  readonly verdict: Verdict;
  readonly failure: Failure | null;
  judge(lane: number): Promise<Finding>;
}

/**
 * Tests that a language keeps its contract, by its example programs in the machine's sandbox: a right program
 * passes, and each other one ends as it must, one that ends the process early after printing all that it can
 * find among them; the nonce is in no file and no argument; and what a hostile program says is read in no
 * time. Throws ConfigError where the toolchain is missing, DataError for a file of examples that lacks some,
 * and an Error that says what does not hold.
 */
export async function checkLanguage(language: Language): Promise<void> {
  await toolchainVersion(language);
  const examples = readExamples(language);
  const wrong = [...nonceLeaks(language, examples), ...slowSigns(language)];
  const claims = await claimsOf(language, examples);
  const work = async (lane: number) => {
    for (let next = claims.shift(); next; next = claims.shift()) {
      const { verdict, failure, detail } = await next.judge(lane);
      if (verdict === next.verdict && failure === next.failure) continue;
      wrong.push(`${next.claim}; it is ${verdict} ${failure ?? ''} (${detail})`);
    }
  };
  await Promise.all([work(0), work(1)]);
  if (wrong.length > 0) throw new Error(`language "${language.name}": ${wrong.join('. ')}`);
}

const ends: readonly [Body, Verdict, Failure | null, claim: string][] = [
  ['right', 'passed', null, 'a right program must pass'],
  ['wrong', 'failed', 'assertion', 'a wrong one must fail by an assertion'],
  ['raises', 'failed', 'exception', 'one that raises must fail by an exception'],
  ['exits', 'failed', 'exited', 'one that exits with 0 before its tests end must fail, whatever it finds'],
  ['broken', 'compile_error', 'compile', 'one that does not parse or compile must be a compile error'],
  ['loops', 'timeout', 'timeout', 'one that never ends must be stopped'],
];

async function claimsOf(language: Language, { source, tests, doubles }: Examples): Promise<Claim[]> {
  const sandbox = await openSandbox();
  const { limits = defaultLimits, plain } = language;
  const appended = ends.map(([body, verdict, failure, claim]): Claim => {
    const program = { source: source(body), tests: { kind: 'appended', code: tests } } as const;
    const some = body === 'loops' ? { ...limits, cpuSeconds: 0.5 } : limits;
    const judge = (lane: number) => judgeAppended(program, { sandbox, lane, language, limits: some });
    return { claim, verdict, failure, judge };
  });
  if (plain === null || doubles === null) return appended;
  const cases = [
    { input: '21\n', output: '42' },
    { input: '-3', output: '-6' },
  ];
  const reading = (text: string) => (lane: number) =>
    judgeTranscripts(
      { source: text, tests: { kind: 'transcripts', cases } },
      { sandbox, lane, language, limits },
    );
  const passes = 'a program that prints twice what it reads must pass';
  const claims = [
    ...appended,
    { claim: passes, verdict: 'passed' as const, failure: null, judge: reading(doubles) },
  ];
  const claim = 'one that reads and does not parse must be a compile error';
  const judge = reading(source('broken') + tests);
  return [...claims, { claim, verdict: 'compile_error', failure: 'compile', judge }];
}

/** A sealed program that reads the nonce does not hold it; what starts one never does. */
function nonceLeaks(language: Language, { source, tests }: Examples): string[] {
  const nonce = '0123456789abcdef'.repeat(2);
  const text = language.seal({ source: source('right'), code: tests }, nonce);
  const reads = language.readsNonce ?? false;
  return [
    ...(text.includes(nonce) === reads ? [`a sealed program must ${reads ? 'not ' : ''}hold the nonce`] : []),
    ...(JSON.stringify(language.sealed(text)).includes(nonce)
      ? ['what starts it must not hold the nonce']
      : []),
  ];
}

/** Texts of which repetitions are hard to read for a regular expression that backtracks. */
const hostile = [
  '\n',
  ' ',
  '\t',
  'a',
  '<',
  '<> ',
  '1',
  ':1',
  'a:1:1:',
  '} ',
  'Error\n',
  'memory allocation of 1',
];
const endings = ['', ' ', '\n', ' 1', ': ', " '"];

/** The words that a language's signs look for, each with what may follow it, and all of them in a row. */
function hostileTo(signs: readonly Signs[]): string[] {
  const sources = signs
    .flatMap((its) => Object.values(its))
    .map((sign) => (sign instanceof RegExp ? sign.source : ''));
  const words = sources.flatMap(
    (source) => source.replaceAll(/\\./g, '\n').match(/[A-Za-z-][\w '-]+/g) ?? [],
  );
  return [...words, words.join(' ')]
    .flatMap((word) => endings.map((ending) => word + ending))
    .filter(Boolean);
}

function slowSigns({ signs, plain }: Language): string[] {
  const all = [signs, { unparsable: plain?.unparsable }];
  const ended = { code: 1, signal: null, stopped: null, stdout: '' };
  const used = { seconds: 1, cpuSeconds: 1, memoryBytes: 1 };
  const started = performance.now();
  for (const words of [...hostile, ...hostileTo(all)]) {
    const stderr = words.repeat(65_536 / words.length);
    const end: BoxEnd = { ...ended, ...used, stderr };
    for (const some of all) findingOfEnd(end, some, stderr);
  }
  const seconds = (performance.now() - started) / 1000;
  return seconds < 5 ? [] : [`its signs must be read in no time, and took ${seconds.toFixed(1)} s`];
}
