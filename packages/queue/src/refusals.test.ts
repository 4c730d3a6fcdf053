import { spawnSync } from 'node:child_process';
import { appendFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Code } from '@flex/base';
import { temporaryFolder } from '@flex/base/testing';
import { type Launcher, runStudy } from '@flex/study';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { openQueueLauncher } from './queue-launcher.ts';
import { queuedJobSchema } from './queued-job.ts';
import { redisAddress } from './redis-address.ts';
import { startRedis, withoutRedis } from './testing/index.ts';
import { code, expectWhole, setUp, stubLauncher, until } from './testing/stub-study.ts';

/** What a worker has otherwise, or what is changed where it is; and what it says of that. */
interface Other {
  readonly what: string;
  readonly its?: Partial<Code>;
  readonly change?: (folder: string) => void;
  readonly words: RegExp;
}

const others: readonly Other[] = [
  {
    what: 'code',
    its: { source: 'b'.repeat(64) },
    words: /its flex is another one \(source bbbbbbbbbbbb, and the study's is aaaaaaaaaaaa\)$/,
  },
  {
    what: 'version',
    its: { versions: { node: '22.1.0', flex: '0.1.0' } },
    words: /its node is 22\.1\.0, and the study's is 20\.20\.0$/,
  },
  {
    what: 'package',
    its: { versions: { ...code.versions, yaml: '2' } },
    words: /its yaml is 2, and the study's is none$/,
  },
  {
    what: 'model',
    change: (folder) => appendFileSync(join(folder, 'model/config.json'), ' '),
    words: /its \S*model is another one \(\w{12}, and the study's is \w{12}\)$/,
  },
  {
    what: 'data',
    change: (folder) => appendFileSync(join(folder, 'rows.jsonl'), '{"input_ids":[1,2]}\n'),
    words: /its \S*rows\.jsonl is another one \(/,
  },
  {
    what: 'held-out data',
    change: (folder) => renameSync(join(folder, 'held.jsonl'), join(folder, 'away.jsonl')),
    words: /it has no \S*held\.jsonl, and nothing of that name among its --inputs$/,
  },
];

test.skipIf(withoutRedis).each(others)(
  'a worker with another $what refuses by words, and leaves the run to others',
  async ({ its, change, words }) => {
    const { study, worker, out, notes, folder, plan, queued } = await setUp();
    const launcher = stubLauncher();
    const stop = new AbortController();
    const ended = study({ signal: stop.signal });
    await queued();
    change?.(folder);
    const refusing = worker({ launcher, code: { ...code, ...its } });
    // The worker says it, and the study.
    await until(() => new Set(notes).size < notes.filter((line) => words.test(line)).length);
    const line = notes.find((one) => words.test(one))!;
    expect(line).toMatch(/^worker \d+ on \S+ refuses \S+: /);
    expect(plan.runs.some(({ name }) => line.includes(` ${name}: `))).toBe(true);
    await refusing.stop();
    expect(launcher.made).toEqual([]);
    if (change) stop.abort();
    else worker();
    const { runs } = await ended;
    if (change) expect(runs.map(({ state }) => state)).toEqual(['waiting', 'waiting', 'waiting']);
    else expectWhole(out);
  },
);

test.skipIf(withoutRedis)('what lies elsewhere on a worker is found among its inputs', async () => {
  const { study, worker, out, folder, queued } = await setUp();
  const inputs = join(folder, 'elsewhere');
  const seen: string[] = [];
  const stub = stubLauncher();
  const launcher: Launcher = {
    ...stub,
    run: (job, options) => {
      const { model, data, eval: heldOut } = job.run!.config;
      seen.push(job.model, model, data.source, ...heldOut.map(({ source }) => source));
      return stub.run(job, options);
    },
  };
  const ended = study();
  await queued();
  mkdirSync(inputs);
  for (const name of ['model', 'rows.jsonl', 'held.jsonl']) {
    renameSync(join(folder, name), join(inputs, name));
  }
  worker({ launcher, inputs });
  await ended;
  expectWhole(out);
  const there = ['model', 'model', 'rows.jsonl', 'held.jsonl'].map((name) => join(inputs, name));
  expect(seen).toEqual([...there, ...there, ...there]);
});

test.skipIf(withoutRedis)('what is no job of a study fails in words', async () => {
  const { worker, client } = await setUp();
  const queue = new Queue('flex', { connection: client() });
  const launcher = stubLauncher();
  worker({ launcher });
  const jobId = 'f'.repeat(64);
  await queue.add('bad', { study: 'x', name: '../../etc' }, { jobId });
  await until(async () => (await queue.getJobState(jobId)) === 'completed');
  expect((await queue.getJob(jobId))!.returnvalue).toMatchObject({
    status: 'failed',
    failure: { error: expect.stringMatching(/^is no job of this flex/) },
  });
  expect(launcher.made).toEqual([]);
});

test('a job brings no module along: each lies on the worker, with the contents of the study', () => {
  const input = { path: '/parts/own.ts', sha256: 'a'.repeat(64), is_model: false };
  const readOf = (use: string, inputs = [input]) => {
    const config = { regularizer: [{ use, lambda: 1 }] };
    const run = { arm: 'a', seed: 0, key: 'c'.repeat(64), config };
    const job = { study: 'b'.repeat(64), name: 'a/seed-0', run, model: '/model', evaluations: [], inputs };
    const { source, versions } = code;
    return queuedJobSchema.safeParse({ ...job, code: { source, versions } });
  };
  expect(readOf('/parts/own.ts').success).toBe(true);
  const sent = '../../runs/a/seed-0/sent.mjs';
  for (const { error } of [readOf('/parts/other.ts'), readOf(sent, [{ ...input, path: sent }])]) {
    expect(error!.issues[0].message).toBe('has a module that is none of its inputs');
  }
});

test.skipIf(withoutRedis).each([
  ['names a file elsewhere', [{ path: '../x', bytes: 0, sha256: '0'.repeat(64), pieces: [] }]],
  ['is no listing', 'x'],
])('a run whose record in Redis %s fails alone, for workers and study', async (_, files) => {
  const { study, worker, out, client, queued, plan } = await setUp();
  const ended = study();
  await queued();
  const redis = client();
  const [id] = (await redis.lrange('bull:flex:wait', 0, -1)).reverse();
  await redis.hset(`flex:files:${id}`, 'listing', JSON.stringify({ files }));
  worker();
  const { runs } = await ended;
  expect(runs.map(({ state }) => state)).toEqual(['failed', 'done', 'done']);
  expect(runs[0].failure!.error).toMatch(
    /^files of (a job: "\.\.\/x" is none of its places|job .* are no listing)/,
  );
  expect(plan.runs[0].name).toBe(runs[0].name);
  await study({ retry: true });
  expectWhole(out);
});

test.skipIf(withoutRedis)('a summary that names what is not in its run is not taken', async () => {
  const { study, worker, plan } = await setUp();
  const stub = stubLauncher();
  const launcher: Launcher = {
    ...stub,
    async run(job, options) {
      const outcome = await stub.run(job, options);
      const file = join(job.run!.config.out, 'summary.json');
      const summary = JSON.parse(readFileSync(file, 'utf8'));
      const change = job.name === plan.runs[0].name ? { adapter: '/etc' } : { out: 1 };
      writeFileSync(file, JSON.stringify({ ...summary, ...change }));
      return outcome;
    },
  };
  worker({ launcher });
  const errors = (await study()).runs.map(({ failure }) => failure!.error);
  expect(errors[0]).toMatch(/: its summary\.json names \/etc$/);
  expect(errors[1]).toMatch(/: its summary\.json is none of flex$/);
});

test.skipIf(withoutRedis)(
  'a worker that cannot write gives the run back and ends with its error',
  async () => {
    const { study, worker, out } = await setUp();
    const broken = worker({ launcher: { lanes: 1, run: () => Promise.reject(new Error('disk is full')) } });
    const ended = expect(broken.ended).rejects.toThrow('disk is full');
    const done = study();
    await ended;
    worker();
    await done;
    expectWhole(out);
  },
);

const open = (url: string) => openQueueLauncher(redisAddress(url), { code, onNote: () => {} });

test.skipIf(withoutRedis)(
  'a wrong address, a wrong password, a Redis that forgets: one line without secrets',
  async () => {
    const server = await startRedis('--requirepass', 'hunter2');
    const lineOf = (url: string) =>
      open(url).then(
        () => '',
        ({ name, message }) => `${name}: ${message}`,
      );
    const at = `redis://127.0.0.1:${server.port}/0`;
    expect(await lineOf('redis://127.0.0.1:1')).toBe(
      'ConfigError: redis://127.0.0.1:1/0: no Redis can be reached there: connect ECONNREFUSED 127.0.0.1:1',
    );
    expect(await lineOf(server.url)).toMatch(`ConfigError: ${at}: no Redis can be reached there: NOAUTH`);
    const wrong = await lineOf(`redis://:hunter3@127.0.0.1:${server.port}`);
    expect(wrong).toMatch(`ConfigError: ${at}: no Redis can be reached there: WRONGPASS`);
    expect(wrong).not.toContain('hunter');
    const right = `redis://:hunter2@127.0.0.1:${server.port}`;
    await (await open(right)).close();
    const admin = new Redis(right);
    onTestFinished(() => admin.disconnect());
    await admin.config('SET', 'maxmemory-policy', 'allkeys-lru');
    expect(await lineOf(right)).toBe(
      `ConfigError: ${at}: forgets jobs when its memory is full (maxmemory-policy allkeys-lru); set it to noeviction`,
    );
  },
);

const withoutTls = withoutRedis || spawnSync('openssl', ['version']).status !== 0;

test.skipIf(withoutTls)('a study goes over TLS, as a user with a password', async () => {
  const folder = temporaryFolder();
  const [key, cert] = ['key.pem', 'cert.pem'].map((name) => join(folder, name));
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  const made = spawnSync('openssl', ['req', '-x509', ...curve, '-keyout', key, '-out', cert, ...subject]);
  expect(made.status).toBe(0);
  const files = ['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', cert];
  const tls = ['--tls-port', 'PORT', '--port', '0', ...files, '--tls-auth-clients', 'no'];
  const server = await startRedis(...tls, '--user', 'me', 'on', '>s%cret', '~*', '&*', '+@all');
  const url = `rediss://me:s%25cret@localhost:${server.port}`;
  await expect(open(url)).rejects.toThrow(/no Redis can be reached there: self-signed certificate/);
  const address = redisAddress(url);
  Object.assign(address.options.tls!, { ca: readFileSync(cert) });
  const { plan, out, worker } = await setUp(server);
  worker({ address });
  const launcher = await openQueueLauncher(address, { code, onNote: () => {}, interval: 50 });
  await runStudy(plan, { launcher, code, signal: new AbortController().signal });
  await launcher.close();
  expectWhole(out);
});
