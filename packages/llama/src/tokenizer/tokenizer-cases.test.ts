import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openTokenizer } from './open-tokenizer.ts';

// What the tokenizers' own libraries make of the same texts; another folder that fixtures/tokenizers/make.py
// wrote may be named in FLEX_TOKENIZER_CASES.
const folder =
  process.env.FLEX_TOKENIZER_CASES ?? join(import.meta.dirname, '../../../../fixtures/tokenizers');
const cases = JSON.parse(readFileSync(join(folder, 'cases.json'), 'utf8')) as {
  readonly texts: readonly string[];
  /** By tokenizer, the ids of each text; null where the library reads the text otherwise on purpose. */
  readonly ids: Readonly<Record<string, readonly (readonly number[] | null)[]>>;
};

describe.each(Object.entries(cases.ids))('the tokenizer %s', (name, ids) => {
  const tokenizer = openTokenizer(join(folder, name));

  it('gives the ids that its own library gives', () => {
    const compared = cases.texts.flatMap((text, i) => (ids[i] ? [[text, ids[i]] as const] : []));
    expect(compared.length).toBeGreaterThan(60);
    for (const [text, expected] of compared) {
      expect(tokenizer.encode(text, { bos: false }), JSON.stringify(text)).toEqual(expected);
    }
  });

  it('decodes id by id what it decodes together', () => {
    for (const each of ids) {
      const stream = tokenizer.decodeStream();
      const pieces = (each ?? []).map((id) => stream.push(id));
      expect(pieces.join('') + stream.end()).toBe(tokenizer.decode(each ?? []));
    }
  });
});
