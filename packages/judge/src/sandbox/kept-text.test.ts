import fc from 'fast-check';
import { expect, test } from 'vitest';
import { keepText } from './kept-text.ts';

test('keeps the first bytes, however they come, and counts all', () => {
  const chunks = fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 20 });
  fc.assert(
    fc.property(chunks, fc.nat({ max: 100 }), (pushed, keep) => {
      const kept = keepText(keep);
      for (const chunk of pushed) kept.push(Buffer.from(chunk));
      const all = Buffer.concat(pushed);
      expect(kept.size).toBe(all.length);
      expect(kept.text()).toBe(all.subarray(0, keep).toString('utf8'));
    }),
  );
});

test('malformed text is replaced, and text cut inside a character too', () => {
  const kept = keepText(4);
  kept.push(Buffer.from('a\xff', 'latin1'));
  kept.push(Buffer.from('é€'));
  expect(kept.text()).toBe('a\ufffdé');
  const short = keepText(2);
  short.push(Buffer.from('€'));
  expect(short.text()).toBe('\ufffd');
});

test('holds copies: what is done to a chunk later does not show', () => {
  const kept = keepText(10);
  const chunk = Buffer.from('before');
  kept.push(chunk);
  chunk.fill('x');
  expect(kept.text()).toBe('before');
});
