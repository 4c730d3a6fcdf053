import { ConfigError, nearestName } from '@flex/base';
import { type KnownBenchmark, knownBenchmarks } from './benchmark-sizes.ts';

/** How a share becomes a number of so many digits. */
export type Rounding = 'half-up' | 'half-even' | 'truncated';

/** A count that can be written as the reported number. */
export interface CountMatch {
  readonly count: number;
  readonly of: number;
  /** The percentage with three digits more than were reported, ties rounded up. */
  readonly percent: string;
  /** The ways of rounding that give the reported number. */
  readonly roundings: readonly Rounding[];
}

/** A count near the reported number. */
export interface NearCount {
  readonly count: number;
  readonly of: number;
  readonly percent: string;
}

/** A size that the number was reported for. */
export interface AskedSize {
  readonly benchmark: string;
  /** Which of its problems; empty for all. */
  readonly which: string;
  readonly problems: number;
  /** The counts of problems · samples that give the number, smallest first. */
  readonly counts: readonly CountMatch[];
  /** Where no count does: the ones next to the number, below and above; else empty. */
  readonly nearest: readonly NearCount[];
}

/** A size that nobody asked for and that gives the number. */
export interface OtherSize {
  readonly benchmarks: readonly string[];
  readonly problems: number;
  readonly counts: readonly CountMatch[];
}

/** A size less some problems that gives the number. */
export interface ReducedSize {
  readonly benchmark: string;
  readonly left_out: number;
  readonly problems: number;
  readonly counts: readonly CountMatch[];
}

export interface NumberAudit {
  /** As it was read: `42.07 %`, or `0.4207`. */
  readonly reported: string;
  readonly samples: number;
  /** Whether some count of an asked size gives the number. */
  readonly possible: boolean;
  readonly asked: readonly AskedSize[];
  /** Where it is not possible: other known sizes that give the number. */
  readonly elsewhere: readonly OtherSize[];
  /**
   * Where it is not possible: the asked sizes less as few problems as give it; five each, none below half.
   */
  readonly reduced: readonly ReducedSize[];
}

export interface AuditOptions {
  /** A known benchmark's name, or a number of problems. */
  readonly benchmark: string | number;
  /** Samples a problem: the number is then a count of problems · samples. */
  readonly samples: number;
  /** The number is a share of 1, not a percentage. */
  readonly fraction: boolean;
}

/**
 * Which counts could have been reported as `text`: c of N · samples, written with as many digits, rounded or
 * truncated. Exact arithmetic. Throws ConfigError for a number that is none, or may be a share or a
 * percentage, and for an unknown benchmark, with the nearest known name.
 */
export function auditNumber(text: string, { benchmark, samples, fraction }: AuditOptions): NumberAudit {
  const reported = readReported(text, fraction);
  requirePositive(samples, 'samples');
  const known = benchmarkOf(benchmark);
  const largest = Math.max(...known.sizes.map(({ problems }) => problems)) * samples;
  if (largest > 1e7) {
    throw new ConfigError(`audit-number: ${largest} programs are more than the 10000000 it can count`);
  }
  const asked = known.sizes.map(({ problems, which }) => {
    const counts = countsOf(reported, problems * samples);
    const near = counts.length > 0 ? [] : neighbours(reported, problems * samples);
    return { benchmark: known.name, which, problems, counts, nearest: near };
  });
  const possible = asked.some(({ counts }) => counts.length > 0);
  return {
    reported: reported.text,
    samples,
    possible,
    asked,
    elsewhere: possible ? [] : elsewhere(reported, known, samples),
    reduced: possible ? [] : reduced(reported, known, samples),
  };
}

/** A reported number as a whole number of units, of which `whole` make 100 %. */
interface Reported {
  readonly text: string;
  readonly units: bigint;
  readonly whole: bigint;
  /** Digits after the point of the percentage. */
  readonly digits: number;
}

function readReported(text: string, isFraction: boolean): Reported {
  const match = /^(\d+)(?:[.,](\d+))?\s*(%?)$/.exec(text.trim());
  if (match === null) {
    throw new ConfigError(`audit-number: "${text}" is not a number such as 42.07, 42,07, 42.07% or 0.4207`);
  }
  const [, integer, decimals = '', sign] = match;
  const plain = decimals === '' ? integer : `${integer}.${decimals}`;
  if (isFraction && sign === '%') {
    throw new ConfigError(
      `audit-number: "${text}" is a percentage; leave out --fraction or the percent sign`,
    );
  }
  const units = BigInt(integer + decimals);
  const one = 10n ** BigInt(decimals.length);
  if (!isFraction && sign === '' && units > 0n && units <= one) {
    throw new ConfigError(
      `audit-number: ${plain} can be a share or a percentage; add --fraction, or write "${plain}%"`,
    );
  }
  const whole = isFraction ? one : 100n * one;
  if (units > whole) {
    throw new ConfigError(`audit-number: ${plain} is more than ${isFraction ? '1, all there is' : '100 %'}`);
  }
  const digits = Math.max(0, decimals.length - (isFraction ? 2 : 0));
  return { text: isFraction ? plain : `${plain} %`, units, whole, digits };
}

/** The counts of `total` that can be written as the reported number. */
function countsOf({ units, whole, digits }: Reported, total: number): CountMatch[] {
  const of = BigInt(total);
  const matches: CountMatch[] = [];
  // Whatever the rounding, it moves a number by less than one unit.
  const first = units === 0n ? 0n : ((units - 1n) * of) / whole;
  for (let count = first; count <= of && count * whole < (units + 1n) * of; count++) {
    const roundings = roundingsTo(units, count * whole, of);
    if (roundings.length === 0) continue;
    matches.push({ ...counted(count, of, digits + 3), roundings });
  }
  return matches;
}

/** The ways of rounding that make `units` of numerator / denominator. */
function roundingsTo(units: bigint, numerator: bigint, denominator: bigint): Rounding[] {
  const down = numerator / denominator;
  const twiceRest = 2n * (numerator % denominator);
  const halfUp = twiceRest >= denominator ? down + 1n : down;
  const halfEven = twiceRest === denominator ? down + (down % 2n) : halfUp;
  const results = { 'half-up': halfUp, 'half-even': halfEven, truncated: down };
  return (Object.keys(results) as Rounding[]).filter((rounding) => results[rounding] === units);
}

/** The counts below and above a number that is none itself. */
function neighbours({ units, whole, digits }: Reported, total: number): NearCount[] {
  const of = BigInt(total);
  const below = (units * of) / whole;
  return [counted(below, of, digits + 2), counted(below + 1n, of, digits + 2)];
}

function counted(count: bigint, of: bigint, digits: number): NearCount {
  const scale = 100n * 10n ** BigInt(digits);
  const units = (2n * count * scale + of) / (2n * of);
  const text = units.toString().padStart(digits + 1, '0');
  const percent = `${text.slice(0, text.length - digits)}.${text.slice(text.length - digits)}`;
  return { count: Number(count), of: Number(of), percent };
}

/** Other known sizes that give the number, benchmarks of one size together. */
function elsewhere(reported: Reported, asked: KnownBenchmark, samples: number): OtherSize[] {
  const refused = new Set(asked.sizes.map(({ problems }) => problems));
  const names = new Map<number, string[]>();
  for (const { name, sizes } of knownBenchmarks) {
    for (const { problems, which } of sizes) {
      if (refused.has(problems)) continue;
      names.set(problems, [...(names.get(problems) ?? []), which === '' ? name : `${name} (${which})`]);
    }
  }
  return [...names]
    .map(([problems, benchmarks]) => ({
      benchmarks,
      problems,
      counts: countsOf(reported, problems * samples),
    }))
    .filter(({ counts }) => counts.length > 0);
}

/** The asked sizes less a few problems that give the number. */
function reduced(reported: Reported, { name, sizes }: KnownBenchmark, samples: number): ReducedSize[] {
  return sizes.flatMap(({ problems: all }) => {
    const found: ReducedSize[] = [];
    for (let problems = all - 1; 2 * problems >= all && problems > 0 && found.length < 5; problems--) {
      const counts = countsOf(reported, problems * samples);
      if (counts.length > 0) found.push({ benchmark: name, left_out: all - problems, problems, counts });
    }
    return found;
  });
}

function benchmarkOf(benchmark: string | number): KnownBenchmark {
  if (typeof benchmark === 'number') {
    requirePositive(benchmark, 'n');
    return { name: 'a benchmark', aliases: [], sizes: [{ problems: benchmark, which: '' }] };
  }
  const wanted = benchmark.toLowerCase();
  const known = knownBenchmarks.find(({ name, aliases }) => [name, ...aliases].includes(wanted));
  if (known !== undefined) return known;
  const meant = nearestName(
    wanted,
    knownBenchmarks.flatMap(({ name, aliases }) => [name, ...aliases]),
  );
  const names = knownBenchmarks.map(({ name }) => name).join(', ');
  const hint = meant === undefined ? `known are ${names}` : `did you mean ${meant}`;
  throw new ConfigError(`audit-number: unknown benchmark "${benchmark}"; ${hint}, or give its size with --n`);
}

function requirePositive(value: number, name: string): void {
  if (!(Number.isSafeInteger(value) && value >= 1)) {
    throw new ConfigError(`audit-number: ${name} must be a whole number from 1, got ${value}`);
  }
}
