import fc from 'fast-check';
import stringWidth from 'string-width';
import { expect, test } from 'vitest';
import { outputOf } from './context.ts';
import { liveText, newLiveLine } from './live-line.ts';
import { onTerminal, play } from './testing/screen.ts';

const words = ['step 12/60', 'loss 2.104', 'penalty 1.62', 'grad 0.810', '812 tok/s', '12 s left'];

test('words give way from the last but one backwards, the bar before them all', () => {
  const at = (columns: number) => liveText(0.25, words, columns);
  expect(at(200)).toBe(`${'━'.repeat(5)}${'─'.repeat(15)} ${words.join('  ')}`);
  expect(at(79)).toBe(words.join('  '));
  expect(at(39)).toBe('step 12/60  loss 2.104  12 s left');
  expect(at(20)).toBe('step 12/60  12 s le…');
  expect(at(1)).toBe('…');
  expect(at(0)).toBe('');
});

const text = fc.oneof(
  fc.string(),
  fc.string({ unit: 'grapheme' }),
  fc.constantFrom('名前', '👩‍👩‍👧‍👦 x', 'é'),
);
const column = fc.integer({ min: 1, max: 220 });

test('a live line is never wider than the terminal, whatever its words', () => {
  fc.assert(
    fc.property(
      fc.array(text, { minLength: 1 }),
      column,
      fc.double({ min: 0, max: 1, noNaN: true }),
      (said, columns, share) => {
        expect(stringWidth(liveText(share, said, columns))).toBeLessThanOrEqual(columns);
      },
    ),
  );
});

const plain = fc.stringMatching(/^[a-z名é]{1,12}( [a-z名é]{1,12}){0,8}$/);
const event = fc.oneof(
  fc.record({
    kind: fc.constant('show' as const),
    said: fc.array(plain, { minLength: 1, maxLength: 6 }),
    done: fc.nat(60),
  }),
  fc.record({ kind: fc.constantFrom('line', 'note', 'warn', 'print'), said: plain }),
);

test('nothing is left of longer lines, beside notes, warnings and results', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(event), fc.integer({ min: 20, max: 200 }), async (events, columns) => {
      const { screen } = await onTerminal({ columns, colour: true }, () => {
        const live = newLiveLine(false);
        const output = outputOf({});
        for (const each of events) {
          if ('done' in each) live.show(each.done, 60, each.said);
          else if (each.kind === 'line') live.line(each.said);
          else output[each.kind as 'note' | 'warn' | 'print'](each.said);
        }
        live.stop();
      });
      const shown = events.flatMap((each) => ('done' in each ? [each] : [])).at(-1);
      const last = shown
        ? [play(liveText(shown.done / 60, shown.said, columns - 1), columns).lines[0] ?? '']
        : [];
      const said = events.flatMap((each) => ('done' in each ? [] : each.said.split(' ')));
      expect(screen.tooLong).toEqual([]);
      const end = screen.lines.length - last.length;
      expect(screen.lines.slice(end)).toEqual(last);
      expect(screen.lines.slice(0, end).join(' ').split(' ').filter(Boolean)).toEqual(said);
    }),
  );
});

test('is shown where a line can change: not in a pipe, on a dumb terminal, nor with --quiet', async () => {
  const show = () => {
    const live = newLiveLine(false);
    for (const done of [1, 2, 60, 60]) live.show(done, 60, ['step', `${done}`]);
    live.stop();
  };
  const piped = await onTerminal({ columns: null, colour: false }, show);
  expect(piped.stderr).toBe('step  1\nstep  60\n');
  const dumb = await onTerminal({ columns: 80, colour: false }, () => {
    process.env.TERM = 'dumb';
    show();
  });
  expect(dumb.stderr).toBe('step  1\nstep  60\n');
  const quiet = await onTerminal({ columns: 80, colour: false }, () => newLiveLine(true).show(1, 2, ['x']));
  expect(quiet.stderr).toBe('');
});

test.each([null, 80])('has nothing that could steer a terminal (%j columns)', async (columns) => {
  const { stderr } = await onTerminal({ columns, colour: false }, () => {
    const live = newLiveLine(false);
    live.show(1, 2, ['\u001b]0;mine\u0007\u001b[2J', 'x']);
    live.stop();
  });
  expect(stderr).toContain('mine');
  for (const steering of ['\u001b]', '\u0007', '\u001b[2J']) expect(stderr).not.toContain(steering);
});

test('fits a window that changes its size, and leaves its listener behind with nothing', async () => {
  const before = process.stderr.listenerCount('resize');
  const { stderr } = await onTerminal({ columns: 200, colour: false }, () => {
    const live = newLiveLine(false);
    live.show(15, 60, words);
    process.stderr.columns = 40;
    process.stderr.emit('resize');
    expect(process.stderr.listenerCount('resize')).toBe(before + 1);
    live.stop();
  });
  expect(stderr).toContain('\u001b[Jstep 12/60  loss 2.104  12 s left\r');
  expect(process.stderr.listenerCount('resize')).toBe(before);
});
