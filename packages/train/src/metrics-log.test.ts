import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DataError } from '@flex/base';
import { temporaryFile, temporaryFolder } from '@flex/base/testing';
import { expect, test } from 'vitest';
import { openMetrics, readMetrics, rewindMetrics } from './metrics-log.ts';

const line = (step: number) => ({ step, loss: 1 / step, eval: { held: step } });

test('a line is in the file as soon as it is appended', () => {
  const path = join(temporaryFolder(), 'metrics.jsonl');
  const log = openMetrics(path);
  for (const step of [1, 2]) {
    log.append(line(step));
    expect(readMetrics(path).at(-1)).toEqual(line(step));
  }
  log.close();
  expect(readFileSync(path, 'utf8')).toBe(`${JSON.stringify(line(1))}\n${JSON.stringify(line(2))}\n`);
});

test('a number that is not finite is null, as JSON has no other name for it', () => {
  const path = join(temporaryFolder(), 'metrics.jsonl');
  const log = openMetrics(path);
  log.append({ step: 1, ...{ loss: Number.NaN } });
  log.close();
  expect(readMetrics(path)).toEqual([{ step: 1, loss: null }]);
});

test('a rewound log has the bytes it had after that step, whatever a crash left at its end', () => {
  const path = join(temporaryFolder(), 'metrics.jsonl');
  const log = openMetrics(path);
  log.append(line(1));
  log.append(line(2));
  const then = readFileSync(path, 'utf8');
  log.append(line(3));
  log.close();
  appendFileSync(path, '{"step": 4, "lo');
  expect(readMetrics(path)).toHaveLength(3);
  rewindMetrics(path, 2);
  expect(readFileSync(path, 'utf8')).toBe(then);
});

test('a log that is not there yet is rewound by leaving it so', () => {
  const path = join(temporaryFolder(), 'metrics.jsonl');
  rewindMetrics(path, 0);
  expect(() => readMetrics(path)).toThrow(/ENOENT/);
});

test('a broken line within the log is told with its place', () => {
  const path = temporaryFile('metrics.jsonl', '');
  writeFileSync(path, '{"step": 1}\n{"step"\n');
  expect(() => readMetrics(path)).toThrow(DataError);
  expect(() => readMetrics(path)).toThrow(/metrics\.jsonl:2: is not JSON/);
});
