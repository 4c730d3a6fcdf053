import { describe, expect, test } from 'vitest';
import { compile, maxSharedLength, maxSourceLength } from './java-compiler.ts';
import type { JavaWorker } from './java-worker.ts';

/** A worker that gives these answers, one a source: `E!no` an error of one that is no longer what it was. */
function worker(
  answers: string[],
  { used = false, cpuSeconds = () => 0 }: { used?: boolean; cpuSeconds?: () => number } = {},
) {
  const state = { dead: false, hasCompiled: used, asked: 0 };
  let end = () => {};
  const fake: JavaWorker = {
    get dead() {
      return state.dead;
    },
    get hasCompiled() {
      return state.hasCompiled;
    },
    cpuSeconds,
    async compile() {
      state.hasCompiled = true;
      state.asked++;
      const answer = answers.shift();
      if (answer === undefined) return new Promise((resolve) => (end = () => resolve(null)));
      const text = Buffer.from(answer.slice(2), 'utf16le').swap16();
      return Buffer.concat([Buffer.from(answer.slice(0, 2)), Buffer.alloc(4), text]);
    },
    send() {},
    ask() {},
    kill() {
      state.dead = true;
      end();
    },
    ended: Promise.resolve('code 1'),
  };
  return { fake, state };
}

/** The compilation by a kept worker and a fresh one; whether the fresh one is kept in its place. */
async function compiled(kept: JavaWorker, fresh: JavaWorker, { source = 'class A {}', seconds = 10 } = {}) {
  let now = kept;
  const found = await compile(
    source,
    {
      warm: async () => kept,
      fresh: async () => fresh,
      keep(worker) {
        now = worker;
      },
    },
    seconds,
  );
  return { word: 'jar' in found ? found.jar.swap16().toString('utf16le') : found.detail, found, now };
}

describe('a source', () => {
  test('that compiles is asked about once, as is one that the process compiles first', async () => {
    for (const [answer, used] of [
      ['J=jar', true],
      ['J=jar', false],
      ['E=no', false],
    ] as const) {
      const kept = worker([answer], { used });
      const fresh = worker([]);
      const { word, now } = await compiled(kept.fake, fresh.fake);
      expect([word, now === kept.fake, fresh.state.asked]).toEqual([answer.slice(2), true, 0]);
    }
  });

  test('that does not compile beside others is compiled by a fresh process, whose word counts', async () => {
    const kept = worker(['E=spoilt'], { used: true });
    const fresh = worker(['E=wrong']);
    const same = await compiled(kept.fake, fresh.fake);
    expect([same.word, same.now === kept.fake, fresh.state.dead]).toEqual(['wrong', true, true]);

    const spoilt = worker(['E=spoilt'], { used: true });
    const better = worker(['J=jar']);
    const other = await compiled(spoilt.fake, better.fake);
    expect([other.word, other.now === better.fake, better.state.dead]).toEqual(['jar', true, false]);
  });

  test.each(['J!jar', 'E!no'])(
    'after which the process is not as it was (%s) has a fresh one',
    async (answer) => {
      const kept = worker([answer], { used: true });
      const fresh = worker(['E=wrong']);
      const { word, now } = await compiled(kept.fake, fresh.fake);
      expect([word, kept.state.dead, now === fresh.fake]).toEqual(['wrong', true, true]);
    },
  );

  test('that does that to a fresh process has its word, and the process is gone', async () => {
    const fresh = worker(['J!jar']);
    const { word } = await compiled(fresh.fake, worker([]).fake);
    expect([word, fresh.state.dead]).toEqual(['jar', true]);
  });

  test('that keeps the compiler computing does not compile; one that has no processor is starved', async () => {
    let used = 0;
    const busy = worker([], { cpuSeconds: () => ++used });
    const { found } = await compiled(busy.fake, worker([]).fake, { seconds: 2 });
    const error = { verdict: 'compile_error', failure: 'compile', detail: 'the compiler did not end in 2 s' };
    expect(found).toEqual(error);
    const waiting = await compiled(worker([]).fake, worker([]).fake, { seconds: 0.05 });
    const detail = 'the compiler did not end in 0.05 s';
    expect(waiting.found).toEqual({ ...error, detail, starved: true });
  });

  test('long enough to overflow a stack is compiled by a process of its own', async () => {
    const kept = worker(['J=jar'], { used: true });
    const fresh = worker(['J=own']);
    const { word } = await compiled(kept.fake, fresh.fake, { source: ' '.repeat(maxSharedLength + 1) });
    expect([word, kept.state.asked, fresh.state.dead]).toEqual(['own', 0, true]);
  });

  test('longer than is compiled is refused before it is', async () => {
    const kept = worker(['J=jar']);
    const source = ' '.repeat(maxSourceLength + 1);
    const { word } = await compiled(kept.fake, worker([]).fake, { source });
    expect([word, kept.state.asked]).toEqual(['a source of 1048577 characters; 1048576 are compiled', 0]);
  });
});
