import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isLong } from '@flex/judge/testing';
import stringWidth from 'string-width';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { openTmux, type RealTerminal, withoutTmux } from './testing/tmux.ts';

const folder = mkdtempSync(join(tmpdir(), 'flex-tmux-'));
const flex = `${process.execPath} ${join(import.meta.dirname, '../bin/flex.mjs')}`;
const assets = join(import.meta.dirname, '../assets');
const colour = new RegExp(`${'\u001b'}\\[[\\d;]*m`);

let terminal: RealTerminal | undefined;
afterEach(() => {
  terminal?.close();
  terminal = undefined;
});
afterAll(() => rmSync(folder, { recursive: true }));

function open(columns: number, variables: Readonly<Record<string, string>> = {}): RealTerminal {
  terminal = openTmux(folder, columns, variables);
  return terminal;
}

let runs = 0;

/** Trains for so many updates, and ends with a line that says how. */
function train(updates: number): string {
  const data = `data.source=${assets}/quickstart/tasks.jsonl data.split=1-80 data.max_length=72`;
  const short = `train.batch_size=1 train.max_steps=${updates} out=run-${runs++}`;
  return `clear; ${flex} train --device cpu model=${assets}/micro ${data} ${short}; echo "ended $?"`;
}

describe.skipIf(withoutTmux)('in a real terminal', () => {
  test('one line of progress is left, of a window that becomes narrower and wider', async () => {
    const { type, until, resize, lines, isCursorShown } = open(100);
    type(train(80));
    await until(/step \d+\/80/);
    resize(44);
    await until(/^step \d+\/80 {2}loss [\d.]+ .* left$/);
    resize(110);
    await until(/^ended 0$/);
    const shown = lines();
    const progress = shown.filter((line) => /step \d/.test(line));
    expect(progress).toEqual([expect.stringMatching(/^━{20} step 80\/80 {2}.* left$/)]);
    const from = shown.indexOf(progress[0]);
    expect(shown[from - 1]).toMatch(/^run folder run-\d+$/);
    expect(shown[from + 1]).toMatch(/^done: 80 updates/);
    expect(isCursorShown()).toBe(true);
  });

  test.each(isLong ? ['C-c', 'C-\\'] : ['C-c'])('the cursor is there after %s', async (key) => {
    const { type, press, until, isCursorShown } = open(80);
    type(train(500));
    await until(/step \d+\/500/);
    press(key);
    if (key === 'C-c') press(key);
    await until(/^ended 1\d\d$/);
    expect(isCursorShown()).toBe(true);
  });

  test.each(isLong ? [40, 80, 200] : [40])('colours and widths at %i columns', async (columns) => {
    for (const [variables, isColoured] of [
      [{}, true],
      [{ NO_COLOR: '1' }, false],
    ] as const) {
      const { type, until, lines, close } = open(columns, variables);
      type(`clear; ${flex} audit-number 42.07 --benchmark humaneval-java; ${flex} trian; echo "ended $?"`);
      await until(/^ended 2$/);
      for (const line of lines()) expect(stringWidth(line)).toBeLessThanOrEqual(columns);
      expect(lines().join(' ')).toContain("flex: unknown command 'trian' (Did you mean train?)");
      expect(colour.test(lines({ escapes: true }).join('\n'))).toBe(isColoured);
      close();
      terminal = undefined;
    }
  });
});
