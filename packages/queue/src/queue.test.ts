import { readStudy, runStudy } from '@flex/study';
import { expect, test } from 'vitest';
import { withoutRedis } from './testing/index.ts';
import { code, expectWhole, setUp, steps, stubLauncher, until } from './testing/stub-study.ts';

test.skipIf(withoutRedis)(
  'two workers do each run once, in the order of the study, and leave nothing behind',
  async () => {
    const { study, worker, out, client, plan } = await setUp();
    const stub = stubLauncher();
    const begun: string[] = [];
    const workers = [1, 2].map(() =>
      worker({ launcher: stub, idle: 1000, observer: { onBegin: (job) => begun.push(job) } }),
    );
    await study();
    expectWhole(out);
    expect(stub.made.toSorted()).toEqual(
      plan.runs.flatMap(({ name }) => Array.from({ length: steps }, (_, i) => `${name} ${i + 1}`)).toSorted(),
    );
    expect(begun).toEqual(plan.runs.map(({ name }) => name));
    // They have nothing to do any more.
    await Promise.all(workers.map(({ ended }) => ended));
    expect((await client().keys('flex:*')).length).toBe(0);
    expect((await client().keys('bull:flex:*')).filter((key) => /[0-9a-f]{64}/.test(key))).toEqual([]);
  },
);

test.skipIf(withoutRedis)(
  'a worker that is asked to end gives its run back, and another goes on with it',
  async () => {
    const { study, worker, out } = await setUp();
    const stub = stubLauncher({ holdsAt: 3 });
    const first = worker({ launcher: stub });
    const done = study();
    await until(() => stub.made.length === 3);
    await first.stop();
    expect(stub.made.length).toBe(3);
    worker({ launcher: stub });
    await done;
    expectWhole(out);
    // Of the run that was given back, no update that it had saved was made again.
    expect(stub.made.length).toBe(3 * steps + 1);
  },
);

test.skipIf(withoutRedis)(
  'a worker that has lost its lease stops, and what it makes later does not count',
  async () => {
    const { study, worker, out, client, notes } = await setUp();
    const redis = client();
    const slow = stubLauncher({ holdsAt: 3 });
    const stop = worker({ launcher: slow });
    const done = study();
    await until(() => slow.made.length === 3);
    const [lock] = await redis.keys('bull:flex:*:lock');
    await redis.set(lock, "another's");
    await until(() => notes.some((line) => line.includes("the job is another's")));
    await stop.stop();
    // Who has a short lease soon looks whether another one's has run out, unless somebody just has.
    await redis.del(lock, 'bull:flex:stalled-check');
    worker({ lease: 1000 });
    await done;
    expectWhole(out);
  },
);

test.skipIf(withoutRedis)('a worker whose job is gone goes on with others', async () => {
  const { study, worker, out, plan, open, client, notes } = await setUp();
  const redis = client();
  const stub = stubLauncher({ holdsAt: 3 });
  worker({ launcher: stub });
  const launcher = await open(3_600_000);
  const stop = new AbortController();
  const ended = runStudy(plan, { launcher, code, signal: stop.signal });
  await until(() => stub.made.length === 3);
  const [lock] = await redis.keys('bull:flex:*:lock');
  await redis.del(lock.replace(/:lock$/, ''));
  await until(() => notes.some((line) => line.includes("the job is another's, or gone")));
  stop.abort();
  await ended;
  await launcher.close();
  await study();
  expectWhole(out);
});

test.skipIf(withoutRedis)('a Redis that forgets everything is given it again', async () => {
  const { study, worker, out, redis, notes } = await setUp();
  const stub = stubLauncher({ pause: 60 });
  for (const _ of [1, 2]) worker({ launcher: stub });
  const done = study();
  await until(() => stub.made.length >= 6);
  await redis.restart('emptied');
  await done;
  expectWhole(out);
  // The study and two workers, each once.
  const told = (words: RegExp) => notes.filter((line) => words.test(line)).length;
  await until(() => told(/: connected again$/) === 3);
  expect(told(/: the connection is lost; trying again$/)).toBe(3);
  // Of the two in work, what the study had not received yet was made again.
  expect(stub.made.length).toBeLessThanOrEqual(5 * steps);
});

test.skipIf(withoutRedis)(
  'a study that ends withdraws what nobody has begun and stops the rest, which goes on later',
  async () => {
    const { study, worker, out, client } = await setUp();
    const stub = stubLauncher({ holdsAt: 3 });
    worker({ launcher: stub });
    const stop = new AbortController();
    const ended = study({ signal: stop.signal });
    await until(() => stub.made.length === 3);
    stop.abort();
    const states = (await ended).runs.map(({ state }) => state);
    expect(states).toEqual(['interrupted', 'waiting', 'waiting']);
    expect(await client().keys('flex:*')).toEqual([]);
    await study();
    expectWhole(out);
  },
);

test.skipIf(withoutRedis)('a run that a killed study had stopped goes on', async () => {
  const { study, worker, out, client } = await setUp();
  const redis = client();
  const stub = stubLauncher({ holdsAt: 3 });
  worker({ launcher: stub });
  const done = study();
  await until(() => stub.made.length === 3);
  const [lock] = await redis.keys('bull:flex:*:lock');
  await redis.set(`flex:stop:${lock.split(':')[2]}`, '1');
  await done;
  expectWhole(out);
});

test.skipIf(withoutRedis)('a study that ends takes what was done since it looked', async () => {
  const { worker, out, plan, open, client } = await setUp();
  const launcher = await open(3_600_000);
  const stop = new AbortController();
  const ended = runStudy(plan, { launcher, code, signal: stop.signal });
  worker();
  await until(async () => (await client().zcard('bull:flex:completed')) === 3);
  stop.abort();
  await ended;
  await launcher.close();
  expectWhole(out);
});

test.skipIf(withoutRedis)('what workers do while the study is away is there when it comes back', async () => {
  const { study, worker, out, plan, open, client } = await setUp();
  const stub = stubLauncher();
  const one = worker({ launcher: stub });
  const launcher = await open();
  const killed = runStudy(plan, { launcher, code, signal: new AbortController().signal });
  const lost = expect(killed).rejects.toThrow('Connection is closed');
  await until(() => stub.made.length >= 3);
  await launcher.close();
  await lost;
  await until(async () => (await client().zcard('bull:flex:completed')) === 3);
  await one.stop();
  expect(readStudy(out).runs.map(({ state }) => state)).not.toContain('done');
  await study();
  expectWhole(out);
  expect(stub.made.length).toBe(3 * steps);
});

test.skipIf(withoutRedis)('a failed run is told with its words, and tried again when asked', async () => {
  const { study, worker, out, plan } = await setUp();
  const [, { name }] = plan.runs;
  const failing = worker({ launcher: stubLauncher({ fails: [name] }) });
  const record = await study();
  expect(record.runs.map(({ state }) => state)).toEqual(['done', 'failed', 'done']);
  expect(record.runs[1].failure).toMatchObject({ error: 'no luck', exit_code: 1 });
  await failing.stop();
  const stub = stubLauncher();
  worker({ launcher: stub });
  expect((await study()).runs[1].state).toBe('failed');
  await study({ retry: true });
  expectWhole(out);
  // From its last checkpoint.
  expect(stub.made).toEqual([5, 6, 7, 8].map((step) => `${name} ${step}`));
});
