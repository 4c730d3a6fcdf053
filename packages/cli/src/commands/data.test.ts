import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { jsonl, temporaryFile, temporaryFolder } from '@flex/base/testing';
import { describe, expect, test } from 'vitest';
import { flex } from '../testing/flex.ts';

const assets = join(import.meta.dirname, '../../assets');
const tasks = join(assets, 'quickstart/tasks.jsonl');
const java = join(assets, 'quickstart/tasks-java.jsonl');

describe('flex data audit', () => {
  const prompt = 'Write the sum of all numbers up to n that are squares.';
  const completion = 'def squares(n):\n    return sum(i * i for i in range(n) if i * i <= n)\n';
  const mineFile = () =>
    temporaryFile(
      'mine.jsonl.gz',
      gzipSync(jsonl({ prompt, completion }, { prompt: 'Say this.', completion: 'This.' })),
    );
  const benchmarkFile = () =>
    temporaryFile(
      'bench.jsonl',
      jsonl({
        task_id: 'HumanEval/7',
        prompt: 'def squares',
        entry_point: 'f',
        test: 't',
        canonical_solution: completion,
      }),
    );

  test('shows the rows that are the same, and exits with 1', async () => {
    const [mine, benchmark] = [mineFile(), benchmarkFile()];
    const { code, stdout } = await flex('data', 'audit', mine, '--against', benchmark, '--against', tasks);
    expect(code).toBe(1);
    expect(stdout).toContain(`${mine}: 2 rows, 0 duplicates of a row before\n`);
    expect(stdout).toContain(
      `against ${benchmark}, 1 rows:\n  1 of them and 1 of the file: the same completion\n`,
    );
    expect(stdout).toMatch(/mine\.jsonl\.gz:1 +│ .*bench\.jsonl:1 \(HumanEval\/7\) │ the same completion/);
    expect(stdout).toContain(`against ${tasks}, 96 rows: no overlap\n`);
  });

  test('with --json gives one object with every pair', async () => {
    const [mine, benchmark] = [mineFile(), benchmarkFile()];
    const { code, stdout } = await flex('data', 'audit', mine, '--against', benchmark, '--json');
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      file: mine,
      rows: 2,
      sets: [
        {
          name: benchmark,
          same: { rows: 1, of: 1 },
          pairs: [{ row: { where: `${mine}:1`, id: null }, of: { id: 'HumanEval/7' }, kind: 'completion' }],
        },
      ],
    });
  });

  test('exits with 0 where rows are apart or only akin, by their splits', async () => {
    expect((await flex('data', 'audit', `${tasks}:1-80`, '--against', `${tasks}:81-96`)).code).toBe(0);
    expect((await flex('data', 'audit', `${tasks}:1-81`, '--against', `${tasks}:81-96`)).code).toBe(1);
    const python = temporaryFile(
      'p.jsonl',
      readFileSync(tasks, 'utf8').replace('"task_id": 81', '"task_id": "MBPP/81"'),
    );
    const translated = readFileSync(java, 'utf8').replaceAll('FLEXJ/', 'MBJP/');
    const found = await flex('data', 'audit', python, '--against', temporaryFile('j.jsonl', translated));
    expect(found.code).toBe(0);
    expect(found.stdout).toContain('16 of them and 16 of the file: the same task in another language');
  });

  test('shows fifty pairs and counts the rest', async () => {
    const { stdout } = await flex('data', 'audit', tasks, '--against', tasks);
    expect(stdout.split('the same prompt and completion')).toHaveLength(52);
    expect(stdout).toContain('and 46 more, all with --json');
  });

  test.each([
    [['audit', tasks], "required option '--against <file>' not specified"],
    [['audit', tasks, '--against', 'none.jsonl'], 'none.jsonl: no such file or folder'],
    [['audit', `${tasks}:trian`, '--against', tasks], 'is it train?'],
    [['audit', tasks, '--against', `${tasks}:500`], 'split 500 selects no row'],
    [['audit', join(assets, 'micro/config.json'), '--against', tasks], 'config.json:1: is not JSON'],
    [['adit'], "unknown command 'adit'"],
  ])('%j is wrong usage, in one line', async (args, message) => {
    const { code, stdout, stderr } = await flex('data', ...args);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain(message);
    expect(stderr.trim()).not.toContain('\n');
  });
});

describe('flex train --plan', () => {
  const plan = [
    ...['train', '--plan', `model=${join(assets, 'micro')}`, `data.source=${tasks}`, 'data.split=1-80'],
    ...[`eval=[{source: ${tasks}, split: 81-96}, {source: ${java}, split: 81-96}]`, 'train.epochs=1'],
    ...['data.max_length=96', 'optimizer.lr=2e-3', '--device', 'cpu'],
  ];
  test('tells data, lengths, updates, tokens, rates and parameters, and writes nothing', async () => {
    const out = join(temporaryFolder(), 'run');
    const { code, stdout, stderr } = await flex(...plan, `out=${out}`);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toContain(
      'training data: tasks.jsonl 1-80\n80 rows, 80 examples, 39 cut at 96 tokens\n' +
        '7,375 tokens, 2,883 of them scored\ntokens a row: 79 to 123, half up to 96, 95 % up to 119\n',
    );
    expect(stdout).toMatch(/│ +81–96 │ +37 │ █{20} +│/);
    expect(stdout).toMatch(/│ +97–112 │ +30 │ █{17} cut +│/);
    expect(stdout).toMatch(/tasks\.jsonl:\d+ \(\d+\): \d+ tokens, cut to 96\n/);
    expect(stdout).toContain('  and 19 more, all with --json\n');
    expect(stdout).toContain('\nepochs: 1\nupdates: 20, 20 an epoch\ntokens: 7,375, 7,375 an epoch\n');
    expect(stdout).toMatch(/\nlearning rate: 0\.00200 at update 1, .*at update 20\n/);
    expect(stdout).toMatch(/\ntrainable parameters: 69,120\n\nmemory: at most \d+ MiB, /);
    expect(existsSync(out)).toBe(false);
  });

  test('part of an epoch is told in three digits', async () => {
    expect((await flex(...plan, 'data.split=1-79', 'train.max_steps=7')).stdout).toContain(
      '\nepochs: 0.354\n',
    );
  });

  test('with --json has all of it', async () => {
    const { stdout } = await flex(...plan, '--json');
    const found = JSON.parse(stdout);
    expect(found).toMatchObject({
      updates: 20,
      updates_an_epoch: 20,
      tokens: 7375,
      trainable_parameters: 69120,
    });
    expect(found.sets.map(({ max_length }: { max_length: number }) => max_length)).toEqual([96, 1024, 1024]);
    expect(found.sets[0].lost).toHaveLength(39);
    expect(found.overlaps.sets).toMatchObject([{ counts: {}, same: { rows: 0, of: 0 } }, { counts: {} }]);
  });

  test('tells what the run takes of the device, and of a run that cannot fit what would help', async () => {
    const { stdout } = await flex(...plan, '--memory', '1GiB');
    expect(stdout).toMatch(
      /\nmemory: at most \d+ MiB, there are 1\.0 GiB \(--memory\) \(weights 3 MiB, adapter 270 KiB, .*\)\n/,
    );
    expect(stdout).toMatch(/│ the frozen weights +│ +3 MiB │ +0\.3 % │/);
    expect(stdout).toMatch(/│ an evaluation in all +│ +\d+ MiB │ +\d+\.\d % │/);
    const tight = [...plan, 'train.checkpoint_activations=false', '--memory', '12MB'];
    const refused = await flex(...tight, '--json');
    expect(refused.code).toBe(2);
    const [told, error] = refused.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const { memory, refusal } = told;
    expect(memory.available).toEqual({ bytes: 12e6, of: '--memory' });
    expect(memory.weights + memory.adapter + memory.optimizer + memory.activations + memory.workspace).toBe(
      memory.update,
    );
    expect(memory.ways[0].keys).toContain('train.checkpoint_activations=auto');
    expect(refusal).toMatch(
      /^memory: an update takes \d+ MiB, and there are 11 MiB \(--memory\) .*; it would fit /,
    );
    expect(error.error).toEqual({ message: refusal, kind: 'configuration', exit_code: 2 });
    // The run itself says the same, and nothing is written.
    const out = join(temporaryFolder(), 'run');
    const run = await flex(...tight.filter((arg) => arg !== '--plan'), `out=${out}`);
    expect([run.code, run.stderr.includes(refusal)]).toEqual([2, true]);
    expect(existsSync(out)).toBe(false);
  });

  test.each(['24', '0GB', '-1GB', 'GiB', '1TB', '1e9B'])('--memory %s is no size', async (size) => {
    const { code, stderr } = await flex(...plan, '--memory', size);
    expect(code).toBe(2);
    expect(stderr).toContain('It must be a number with its unit, such as 24GiB or 500MB.');
  });

  test('of a run that would be refused exits with 2, and tells the overlaps that are allowed', async () => {
    const given = [
      'train',
      '--plan',
      '--device',
      'cpu',
      'data.split=1-81',
      `out=${join(temporaryFolder(), 'run')}`,
    ];
    const defaults = [`model=${join(assets, 'micro')}`, `data.source=${tasks}`];
    const overlapping = [...given, ...defaults, `eval={source: ${tasks}, split: 81-96}`];
    const refused = await flex(...overlapping);
    expect(refused.code).toBe(2);
    expect(refused.stdout).toContain('updates: ');
    expect(refused.stderr).toMatch(/\nflex: .*1 of 16 held-out rows are trained on in tasks\.jsonl 1-81/);
    const allowed = await flex(...overlapping, 'data.allow_overlap=true');
    expect(allowed.code).toBe(0);
    expect(allowed.stderr).toBe(
      'tasks.jsonl 81-96: 1 of 16 held-out rows and 1 of tasks.jsonl 1-81 are the same prompt and completion\n' +
        `  ${tasks}:81 (81) and ${tasks}:81 (81)\n`,
    );
  });
});
