import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DataError } from '@flex/base';
import { collect, temporaryFile, temporaryFolder } from '@flex/base/testing';
import { HarnessError } from '@flex/judge';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Problem } from './benchmark.ts';
import { type CompleteOptions, complete, type Generate, type GenerateRequest } from './generate.ts';

const problem = (id: string, prompt = `prompt ${id}`): Problem => ({
  id,
  language: 'py',
  prompt,
  stop: ['\nSTOP'],
  canonical: null,
  empty: '',
});
const problems = ['a', 'b', 'c', 'd', 'e'].map((id) => problem(id));

/** A generator whose texts depend on prompt and seed alone, and the batches it was asked for. */
function recorder() {
  const batches: GenerateRequest[][] = [];
  const generate: Generate = async (requests) => {
    batches.push([...requests]);
    return requests.map(({ prompt, seed }) => `${prompt} ${seed}\nSTOP rest`);
  };
  return { batches, generate };
}

const settings = (generate: Generate, more: Partial<CompleteOptions> = {}): CompleteOptions => ({
  problems,
  generate,
  model: 'm',
  decoding: { maxNewTokens: 8, temperature: 0.2 },
  seed: 1,
  n: 2,
  batchSize: 3,
  cache: null,
  ...more,
});
const run = (generate: Generate, more: Partial<CompleteOptions> = {}) =>
  collect(complete(settings(generate, more)));
const textsOf = (completions: Awaited<ReturnType<typeof run>>) =>
  completions.map(({ completion }) => completion.text);

describe('completions', () => {
  test('come in the order of problems and samples, whatever the batches', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 3 }),
        async (batchSize, n) => {
          const { batches, generate } = recorder();
          const completions = await run(generate, { batchSize, n });
          const order = problems.flatMap(({ id }) => Array.from({ length: n }, (_, sample) => [id, sample]));
          expect(completions.map(({ problem, index }) => [problem.id, index])).toEqual(order);
          expect(textsOf(completions)).toEqual(textsOf(await run(recorder().generate, { n, batchSize: 1 })));
          const sizes = batches.map((batch) => batch.length);
          expect(sizes.slice(0, -1)).toEqual(Array(sizes.length - 1).fill(batchSize));
          expect(sizes.reduce((a, b) => a + b)).toBe(problems.length * n);
        },
      ),
      { numRuns: 20 },
    );
  });

  test('are cut at the stop list unless told otherwise', async () => {
    const [cut] = await run(recorder().generate);
    const [whole] = await run(recorder().generate, { truncation: 'none' });
    expect(`${cut.completion.text}\nSTOP rest`).toBe(whole.completion.text);
  });

  test('of one prompt have different seeds, and others for another seed, decoding or model', async () => {
    const seeds: number[] = [];
    for (const more of [{}, { seed: 2 }, { model: 'n' }, { decoding: { maxNewTokens: 9 } }]) {
      const { batches, generate } = recorder();
      await run(generate, more);
      seeds.push(...batches.flat().map(({ seed }) => seed));
    }
    expect(new Set(seeds).size).toBe(40);
    expect(seeds.every((seed) => Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32)).toBe(true);
  });

  test('of equal prompts in one batch are generated once', async () => {
    const { batches, generate } = recorder();
    const twins = [problem('x', 'same'), problem('y', 'same')];
    const completions = await run(generate, { problems: twins, n: 1, batchSize: 8 });
    expect(batches.map((batch) => batch.length)).toEqual([1]);
    expect(textsOf(completions)[0]).toBe(textsOf(completions)[1]);
  });
});

describe('a cache', () => {
  const path = () => join(temporaryFolder(), 'completions.jsonl');

  test('gives the same completions without generating', async () => {
    const cache = path();
    const first = await run(recorder().generate, { cache });
    const { batches, generate } = recorder();
    const again = await run(generate, { cache });
    expect(batches).toEqual([]);
    expect(textsOf(again)).toEqual(textsOf(first));
    expect([first, again].map((all) => all.map(({ cached }) => cached))).toEqual([
      Array(10).fill(false),
      Array(10).fill(true),
    ]);
  });

  test('lets an interrupted run go on, torn line and all, to the same end', async () => {
    const whole = await run(recorder().generate);
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: 9 }), fc.nat({ max: 200 }), async (taken, torn) => {
        const cache = path();
        const running = complete(settings(recorder().generate, { cache }));
        for (let i = 0; i <= taken; i++) await running.next();
        await running.return(undefined);
        const bytes = readFileSync(cache);
        writeFileSync(cache, bytes.subarray(0, Math.max(0, bytes.length - torn)));
        const lines = readFileSync(cache, 'utf8').split('\n').length - 1;
        const { batches, generate } = recorder();
        const rest = await run(generate, { cache });
        expect(textsOf(rest)).toEqual(textsOf(whole));
        expect(batches.flat()).toHaveLength(10 - lines);
        expect(
          readFileSync(cache, 'utf8')
            .trimEnd()
            .split('\n')
            .map((line) => JSON.parse(line)),
        ).toHaveLength(10);
      }),
      { numRuns: 20 },
    );
  });

  test('gives what it has at once, before the next problem is asked for', async () => {
    const cache = path();
    await run(recorder().generate, { cache, problems: [problems[0]] });
    const endless = (async function* () {
      yield problems[0];
      throw new Error('asked for the next problem');
    })();
    const running = complete(settings(recorder().generate, { cache, problems: endless, n: 1 }));
    expect((await running.next()).value).toMatchObject({ index: 0, cached: true });
    await expect(running.next()).rejects.toThrow('asked for the next problem');
  });

  test('fills batches with what is missing', async () => {
    const cache = path();
    await run(recorder().generate, { cache, problems: [problems[1], problems[3]] });
    const { batches, generate } = recorder();
    await run(generate, { cache });
    expect(batches.map((batch) => batch.length)).toEqual([3, 3]);
  });

  test('is not taken for another model, decoding, seed, stop list or prompt', async () => {
    const cache = path();
    await run(recorder().generate, { cache });
    const others: Partial<CompleteOptions>[] = [
      { model: 'other' },
      { decoding: { maxNewTokens: 8, temperature: 0.3 } },
      { seed: 2 },
      { problems: problems.map((known) => ({ ...known, stop: [] })) },
      { problems: problems.map((known) => ({ ...known, prompt: `other${known.id}` })) },
    ];
    for (const more of others) {
      const { batches, generate } = recorder();
      await run(generate, { cache, ...more });
      expect(batches.flat()).toHaveLength(10);
    }
    const { batches, generate } = recorder();
    await run(generate, { cache, n: 3, batchSize: 7, truncation: 'none' });
    expect(batches.flat()).toHaveLength(5);
  });

  test('is refused with the line where it is damaged', async () => {
    const wrong = 'is no completion {"key", "text"}; delete the file to generate anew';
    const lines = {
      '{"key": 1, "text": ""}': wrong,
      '{"key": ""}': wrong,
      null: wrong,
      '[]': wrong,
      x: 'is not JSON',
    };
    for (const [line, why] of Object.entries(lines)) {
      const cache = temporaryFile('completions.jsonl', '');
      await run(recorder().generate, { cache, n: 1 });
      appendFileSync(cache, `${line}\n`);
      const error = run(recorder().generate, { cache });
      await expect(error).rejects.toThrow(DataError);
      await expect(error).rejects.toThrow(`completions.jsonl:6: ${why}`);
    }
  });
});

describe('an abort', () => {
  test('loses nothing that was handed over', async () => {
    const cache = temporaryFile('completions.jsonl', '');
    const controller = new AbortController();
    const stopping: Generate = async (requests, signal, keep) => {
      keep(1, 'kept');
      controller.abort(new Error('stop'));
      signal?.throwIfAborted();
      return requests.map(() => '');
    };
    await expect(run(stopping, { cache, signal: controller.signal })).rejects.toThrow('stop');
    const { batches, generate } = recorder();
    const completions = await run(generate, { cache, truncation: 'none' });
    expect(
      completions.map(({ completion: { text } }) => text).filter((text) => text === 'kept'),
    ).toHaveLength(1);
    expect(batches.flat()).toHaveLength(completions.length - 1);
  });
  test('before the start generates nothing', async () => {
    const { batches, generate } = recorder();
    await expect(run(generate, { signal: AbortSignal.abort(new Error('stop')) })).rejects.toThrow('stop');
    expect(batches).toEqual([]);
  });

  test('ends the run at the next batch, with what was made in the cache', async () => {
    const cache = join(temporaryFolder(), 'completions.jsonl');
    const controller = new AbortController();
    const { batches, generate } = recorder();
    const stopping: Generate = (requests, signal, keep) => {
      expect(signal).toBe(controller.signal);
      controller.abort(new Error('stop'));
      return generate(requests, signal, keep);
    };
    await expect(run(stopping, { cache, signal: controller.signal })).rejects.toThrow('stop');
    expect(batches).toHaveLength(1);
    expect(readFileSync(cache, 'utf8').split('\n')).toHaveLength(4);
  });
});

describe('what generates', () => {
  test.each<[string, Generate]>([
    ['too few texts', async () => []],
    ['too many texts', async (requests) => [...requests.map(() => ''), '']],
    ['no texts', async (requests) => requests.map(() => null) as unknown as string[]],
  ])('must not give %s', async (_, generate) => {
    await expect(run(generate)).rejects.toThrow(HarnessError);
  });

  test('may fail, and the run fails with its error', async () => {
    const failure = new Error('device lost');
    await expect(run(() => Promise.reject(failure))).rejects.toBe(failure);
  });
});

test.each([{ n: 0 }, { n: 1.5 }, { batchSize: 0 }, { batchSize: Number.NaN }])(
  '%j is refused',
  async (more) => {
    await expect(run(recorder().generate, more)).rejects.toThrow(RangeError);
  },
);
