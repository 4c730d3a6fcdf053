import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { ConfigError } from '@flex/base';
import { describeShared, shared } from '@flex/fixtures';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type AuditOptions, auditNumber, type NumberAudit } from './audit-number.ts';
import { knownBenchmarks } from './benchmark-sizes.ts';

function audit(text: string, options: Partial<AuditOptions> = {}): NumberAudit {
  return auditNumber(text, { benchmark: 'humaneval', samples: 1, fraction: false, ...options });
}

/** `count/of` of all counts that give the number. */
function found(result: NumberAudit): string[] {
  return result.asked.flatMap(({ counts }) => counts.map(({ count, of }) => `${count}/${of}`));
}

/** Which roundings give `units` of 10^−digits percent for a count, by the definitions, in whole numbers. */
function roundings(units: number, { count, of, digits }: { count: number; of: number; digits: number }) {
  const exact = count * 100 * 10 ** digits;
  const halfUp = 2 * exact >= (2 * units - 1) * of && 2 * exact < (2 * units + 1) * of;
  const tied = [2 * units - 1, 2 * units + 1].some((twice) => 2 * exact === twice * of);
  const strictly = 2 * exact > (2 * units - 1) * of && 2 * exact < (2 * units + 1) * of;
  const truncated = exact >= units * of && exact < (units + 1) * of;
  return [
    ...(halfUp ? ['half-up'] : []),
    ...(strictly || (tied && units % 2 === 0) ? ['half-even'] : []),
    ...(truncated ? ['truncated'] : []),
  ];
}

describe('the numbers that papers report', () => {
  test('42.07 is no count of the 158 Java problems, and is 69 of 164', () => {
    const result = audit('42.07', { benchmark: 'humaneval-java' });
    expect(result.possible).toBe(false);
    expect(result.asked).toEqual([
      {
        benchmark: 'multipl-e:java',
        which: '',
        problems: 158,
        counts: [],
        nearest: [
          { count: 66, of: 158, percent: '41.7722' },
          { count: 67, of: 158, percent: '42.4051' },
        ],
      },
    ]);
    const humaneval = result.elsewhere.find(({ benchmarks }) => benchmarks.includes('humaneval'));
    expect(humaneval?.counts).toEqual([
      { count: 69, of: 164, percent: '42.07317', roundings: ['half-up', 'half-even', 'truncated'] },
    ]);
    expect(found(audit('42.07'))).toEqual(['69/164']);
  });
  test('40.1 is no count of 164; with two problems left out it is 65 of 162', () => {
    const result = audit('40.1');
    expect(result.possible).toBe(false);
    expect(result.reduced[0]).toMatchObject({
      benchmark: 'humaneval',
      left_out: 2,
      problems: 162,
      counts: [{ count: 65, of: 162 }],
    });
    expect(result.reduced).toHaveLength(5);
  });
  test('at most half of the problems are thought of as left out', () => {
    expect(audit('66.67', { benchmark: 8 }).reduced.map(({ problems }) => problems)).toEqual([6]);
  });
  test('33.5, 34.15 and 34.2 are counts', () => {
    expect(found(audit('33.5'))).toEqual(['55/164']);
    expect(found(audit('34.15'))).toEqual(['56/164']);
    expect(found(audit('34.2', { benchmark: 'multipl-e:java' }))).toEqual(['54/158']);
    expect(audit('33.5').elsewhere).toEqual([]);
    expect(audit('33.5').reduced).toEqual([]);
  });
  test('a benchmark of two sizes is asked for both', () => {
    const { asked, possible } = audit('33.40', { benchmark: 'mbpp' });
    expect(asked.map(({ problems, counts }) => [problems, counts.length])).toEqual([
      [500, 1],
      [974, 0],
    ]);
    expect(possible).toBe(true);
  });
});

describe('rounding', () => {
  test('up, to even and by truncation are told apart', () => {
    const of = (text: string, n: number) =>
      audit(text, { benchmark: n }).asked[0].counts.map(({ count, roundings }) => [count, ...roundings]);
    // 1/16 is 6.25 %, 3/16 is 18.75 %.
    expect(of('6.2', 16)).toEqual([[1, 'half-even', 'truncated']]);
    expect(of('6.3', 16)).toEqual([[1, 'half-up']]);
    expect(of('18.8', 16)).toEqual([[3, 'half-up', 'half-even']]);
    expect(of('18.7', 16)).toEqual([[3, 'truncated']]);
    expect(of('18.75', 16)).toEqual([[3, 'half-up', 'half-even', 'truncated']]);
  });
  test('finds exactly the counts that its definitions give, for every number', () => {
    for (const of of [1, 7, 16, 40, 164]) {
      for (let units = 0; units <= 1000; units++) {
        const expected = Array.from({ length: of + 1 }, (_, count) => ({
          count,
          roundings: roundings(units, { count, of, digits: 1 }),
        })).filter((match) => match.roundings.length > 0);
        const { counts } = audit(`${(units / 10).toFixed(1)}%`, { benchmark: of }).asked[0];
        expect(counts.map(({ count, roundings }) => ({ count, roundings }))).toEqual(expected);
      }
    }
  });
  test('every count is found from its own number, of however many digits', () => {
    const counts = fc
      .integer({ min: 1, max: 5000 })
      .chain((of) => fc.record({ of: fc.constant(of), count: fc.integer({ min: 0, max: of }) }));
    fc.assert(
      fc.property(counts, fc.integer({ min: 0, max: 9 }), ({ of, count }, digits) => {
        // Decimal by long division.
        let text = `${Math.floor((count * 100) / of)}`;
        let rest = (count * 100) % of;
        if (digits > 0) text += '.';
        for (let i = 0; i < digits; i++) {
          text += Math.floor((rest * 10) / of);
          rest = (rest * 10) % of;
        }
        const match = audit(`${text}%`, { benchmark: of }).asked[0].counts.find((m) => m.count === count);
        expect(match?.roundings).toContain('truncated');
      }),
    );
  });
  test('the nearest counts lie on both sides of a number that is none', () => {
    const near = (text: string) => audit(text, { benchmark: 3 }).asked[0].nearest.map(({ count }) => count);
    expect(near('40')).toEqual([1, 2]);
    expect(near('99.9')).toEqual([2, 3]);
    expect(near('0.1%')).toEqual([0, 1]);
    expect(near('33.33')).toEqual([]);
  });
});

describe('several samples a problem', () => {
  test('make it a count of all of them', () => {
    expect(audit('33.25').possible).toBe(false);
    const result = audit('33.25', { samples: 20 });
    expect(result.asked[0].counts.every(({ of }) => of === 3280)).toBe(true);
    expect(result.possible).toBe(false);
    expect(found(audit('33.26', { samples: 20 }))).toEqual(['1091/3280']);
  });
});

describe('a number', () => {
  test.each(['42.07', '42,07', '42.07%', ' 42.07 % ', '042.07'])('is read from "%s"', (text) => {
    expect(found(audit(text))).toEqual(['69/164']);
  });
  test('is a share with --fraction, of as many digits', () => {
    const result = audit('0.4207', { fraction: true });
    expect(result.reported).toBe('0.4207');
    expect(found(result)).toEqual(['69/164']);
    expect(found(audit('0.42', { fraction: true }))).toEqual(found(audit('42')));
    expect(found(audit('1', { fraction: true, benchmark: 3 }))).toEqual(['2/3', '3/3']);
  });
  test('of 0 and 100 % is a count of every benchmark', () => {
    expect(found(audit('0.0'))).toEqual(['0/164']);
    expect(found(audit('100.00'))).toEqual(['164/164']);
  });
  test.each([
    ['0.4207', /share or a percentage; add --fraction, or write "0.4207%"/],
    ['1', /share or a percentage/],
    ['0.5', /share or a percentage/],
    ['142.07', /142.07 is more than 100 %/],
    ['-3', /"-3" is not a number such as/],
    ['4.2e1', /not a number/],
    ['1,234.5', /not a number/],
    ['.42', /not a number/],
    ['42.', /not a number/],
    ['', /not a number/],
    ['NaN', /not a number/],
  ])('of "%s" is refused', (text, message) => {
    expect(() => audit(text)).toThrow(ConfigError);
    expect(() => audit(text)).toThrow(message);
  });
  test.each([
    ['42.07', /more than 1, all there is/],
    ['42%', /leave out --fraction/],
  ])('of "%s" is refused as a share', (text, message) => {
    expect(() => audit(text, { fraction: true })).toThrow(message);
  });
});

describe('a benchmark', () => {
  test('is known by each of its names', () => {
    for (const { name, aliases, sizes } of knownBenchmarks) {
      for (const word of [name, ...aliases, name.toUpperCase()]) {
        expect(audit('50', { benchmark: word }).asked.map(({ problems }) => problems)).toEqual(
          sizes.map(({ problems }) => problems),
        );
      }
    }
  });
  test.each([
    [{ benchmark: 'humaneval-jva' }, /unknown benchmark "humaneval-jva"; did you mean humaneval-java/],
    [{ benchmark: 'livecode' }, /unknown benchmark "livecode"; known are humaneval, multipl-e:java/],
    [{ benchmark: 0 }, /n must be a whole number from 1, got 0/],
    [{ benchmark: 1.5 }, /got 1.5/],
    [{ benchmark: Number.NaN }, /got NaN/],
    [{ samples: 0 }, /samples must be a whole number from 1, got 0/],
    [{ benchmark: 1e6, samples: 100 }, /100000000 programs are more than/],
  ])('of %j is refused', (options, message) => {
    expect(() => audit('50', options)).toThrow(ConfigError);
    expect(() => audit('50', options)).toThrow(message);
  });
});

describeShared('data', 'the known sizes', () => {
  const data = shared('data');
  const sizesOf = (name: string) =>
    knownBenchmarks.find((known) => known.name === name)!.sizes.map(({ problems }) => problems);
  const rows = (text: string) => text.trim().split('\n');

  test("are those of the publishers' files", () => {
    const humaneval = gunzipSync(readFileSync(join(data, 'HumanEval.jsonl.gz'))).toString();
    expect(sizesOf('humaneval')).toEqual([rows(humaneval).length]);
    const mbpp = rows(readFileSync(join(data, 'mbpp.jsonl'), 'utf8'));
    const ids = mbpp.map((row) => (JSON.parse(row) as { task_id: number }).task_id);
    expect(sizesOf('mbpp')).toEqual([ids.filter((id) => id >= 11 && id <= 510).length, mbpp.length]);
    expect(sizesOf('mbpp:train')).toEqual([ids.filter((id) => id >= 601).length]);
    expect(sizesOf('mbpp:validation')).toEqual([ids.filter((id) => id >= 511 && id <= 600).length]);
    const java = rows(readFileSync(join(data, 'mbjp.jsonl'), 'utf8'));
    const solved = java.filter(
      (row) => (JSON.parse(row) as { canonical_solution?: string }).canonical_solution,
    );
    expect(sizesOf('mbxp:java')).toEqual([java.length, solved.length]);
  });
  test('of MultiPL-E are those of every language', () => {
    const files = readdirSync(join(data, 'multipl-e'));
    const languages = files.map((file) => /humaneval-(\w+)\.jsonl/.exec(file)![1]);
    expect(languages.map((language) => [language, ...sizesOf(`multipl-e:${language}`)])).toEqual(
      languages.map((language, i) => [
        language,
        rows(readFileSync(join(data, 'multipl-e', files[i]), 'utf8')).length,
      ]),
    );
    expect(knownBenchmarks.filter(({ name }) => name.startsWith('multipl-e:'))).toHaveLength(files.length);
  });
});
