import { PassThrough } from 'node:stream';
import { afterAll, expect, test } from 'vitest';
import type { Update } from './messages.ts';
import { fakeStudy, linesOf, runsOf } from './testing/fake-study.ts';
import { openStream } from './update-stream.ts';
import { watchFolder } from './watch-folder.ts';

const study = fakeStudy(2);
afterAll(() => study.remove());
const [first] = runsOf(2);

test('nothing piles up for a page that takes nothing, and it is told the newest when it does', async () => {
  study.begin(first, 9000);
  study.write(first, linesOf(1, 100));
  const watched = watchFolder(study.folder);
  await watched.refresh();
  const response = new PassThrough({ highWaterMark: 512 });
  const stream = openStream(response, watched, { columns: ['loss'], page: '' });
  stream.push();
  const piled = () => response.writableLength + response.readableLength;
  const atFirst = piled();
  for (let turn = 1; turn <= 20; turn++) {
    study.write(first, linesOf(100 * turn + 1, 100 * turn + 100));
    await watched.refresh();
    stream.push();
  }
  expect(piled()).toBe(atFirst);
  let text = '';
  response.setEncoding('utf8').on('data', (piece: string) => {
    text += piece;
  });
  await expect.poll(() => text).toMatch(/"curves":.*\n\n$/);
  const updates = text
    .split('\n\n')
    .slice(0, -1)
    .map((event) => JSON.parse(event.replace(/^data: /, '')) as Update);
  const steps = updates.flatMap(({ rows = [] }) => rows.filter(({ name }) => name === first));
  expect(steps.map(({ step }) => step)).toEqual([100, 2100]);
  expect(updates.flatMap(({ curves = [] }) => curves).map(({ from, x }) => [from, x.length])).toEqual([
    [0, 525],
  ]);
});
