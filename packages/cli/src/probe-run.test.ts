import fc from 'fast-check';
import { expect, test } from 'vitest';
import { costOf } from './probe-run.ts';

const seconds = fc.double({ min: 0.01, max: 100, noNaN: true });

test('a run whose updates and evaluations each take the same time takes what the probe says', () => {
  const counts = { of: fc.integer({ min: 3, max: 10_000 }), evaluations: fc.integer({ min: 0, max: 50 }) };
  const times = { start: seconds, update: seconds, evaluation: seconds, end: seconds };
  fc.assert(
    fc.property(fc.record({ ...counts, ...times }), ({ of, evaluations, start, update, evaluation, end }) => {
      const each = evaluations > 0 ? evaluation : 0;
      const probed = Math.min(12, of);
      // Before the first update there is an evaluation too, and one after the last.
      const seen = Array.from({ length: probed }, (_, i) => ({
        at: start + each + (i + 1) * update + (i === probed - 1 ? each : 0),
        of,
        memoryBytes: 1000 + i,
      }));
      const whole = seen[probed - 1].at + end;
      const all = probed === of ? Math.min(1, evaluations) : evaluations;
      const cost = costOf(seen, { evaluations: all, whole });
      expect(cost.seconds).toBeCloseTo(start + each + of * update + all * each + end, 4);
      expect(cost.memoryBytes).toBe(1000 + probed - 1);
    }),
  );
});
