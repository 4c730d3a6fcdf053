import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beginProvenance, openInputFiles, type Provenance, sourceOf } from '@flex/base';
import { someProvenance } from '@flex/base/testing';
import { writeResultFolder } from '@flex/eval/testing';
import {
  adapterOf,
  analyse,
  configFileOf,
  evaluationFolderOf,
  type Job,
  type Launcher,
  loadStudy,
  planStudy,
  readStudy,
  runStudy,
} from '@flex/study';
import { decidesModel } from '@flex/train';
import { tinyTraining } from '@flex/train/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { flex } from '../testing/flex.ts';

const folder = mkdtempSync(join(tmpdir(), 'flex-report-'));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (...names: string[]) => join(folder, ...names);
const report = (...args: string[]) => flex('report', ...args, '--device', 'cpu', '--quiet');
const text = (path: string) => readFileSync(path, 'utf8');

/** A host's name that is nowhere else, in place of this machine's. */
const host = 'host-of-nobody-else';

/** Trains in this process, and in place of an evaluation writes what one would have found. */
const launcher: Launcher = {
  lanes: 1,
  async run(job) {
    if (job.run !== null) {
      const config = join(job.folder, configFileOf(job.name));
      const { code, stderr } = await flex('train', config, '--resume', '--device', 'cpu', '--quiet');
      if (code !== 0) throw new Error(stderr);
    }
    const marks = marksOf(job);
    for (const { name } of job.evaluations) {
      const facts = { ...someProvenance, adapters: adaptersOf(job) };
      const provenance = beginProvenance(facts, facts);
      writeResultFolder(join(job.folder, evaluationFolderOf(name, job.name)), { marks, provenance });
    }
    return { status: 'done' };
  },
};

function adaptersOf(job: Job): Provenance['adapters'] {
  const path = adapterOf(job);
  if (path === null) return [];
  return [{ ...sourceOf(path, openInputFiles().digest(path, decidesModel)), weight: 1 }];
}

/**
 * The base model passes one problem of four, a run all but the one with its seed's number, a control all but
 * the next.
 */
function marksOf({ run }: Job): Record<string, string> {
  const failed = run && run.seed + (run.arm === 'lambda-0.5' ? 0 : 1);
  const marks = Array.from({ length: 4 }, (_, i) => (failed === null ? i === 0 : i !== failed) && '+');
  return Object.fromEntries(marks.map((mark, i) => [`HumanEval/${i}`, mark || '-']));
}

const study = at('study');

beforeAll(async () => {
  const settings = tinyTraining(folder).map((setting) => {
    const [key] = setting.split('=', 1);
    return `  ${key}: ${setting.slice(key.length + 1)}`;
  });
  const train = '{batch_size: 2, max_steps: 4, eval_every: 2, spectrum_every: 2}';
  const lines = [
    'title: A study of <b>nothing</b> | at all',
    'base:',
    ...settings.filter((line) => !line.startsWith('  train:')),
    `  train: ${train}`,
    'factors:',
    '  regularizer.lambda: [0, 0.5]',
    'controls: {permuted_order: {off: "one control less to wait for"}}',
    'seeds: 2',
    'evaluations: [{benchmark: humaneval}]',
    'claims:',
    '  - {text: It helps, figure: 42.07 %, source: the paper, arm: lambda-0.5, against: base-model, measure: humaneval pass@1}',
    'out: study',
  ];
  writeFileSync(at('study.yaml'), lines.join('\n'));
  const code = { commit: null, source: 'a'.repeat(64), versions: { flex: '0.1.0', node: '20' } };
  const plan = await planStudy(await loadStudy(at('study.yaml')));
  await runStudy(plan, { launcher, code, signal: new AbortController().signal });
  for (const name of readdirSync(study, { recursive: true }) as string[]) {
    if (!/(study|summary|manifest)\.json$/.test(name)) continue;
    writeFileSync(
      at('study', name),
      text(at('study', name)).replace(/"host": "[^"]*"/g, `"host": "${host}"`),
    );
  }
});

describe('a study', () => {
  const out = at('report.html');

  beforeAll(async () => {
    const { code, stderr } = await report(study, '--out', out, '--png');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  test('has its sections, and the figures of its analysis in its tables', () => {
    const html = text(out);
    const titles = [...html.matchAll(/<h2 [^>]*>([^<]*)/g)].map(([, title]) => title);
    expect(titles).toEqual([
      'What follows',
      'Claims',
      'Arms',
      'Comparisons',
      'Curves',
      'Spectra',
      'Evaluations',
      'Differences of the configurations',
      'Runs',
      'Provenance',
    ]);
    const { arms, conclusions, contrasts } = analyse(readStudy(study));
    for (const sentence of [...conclusions.overall, ...conclusions.armByArm])
      expect(plain(html)).toContain(sentence);
    expect(contrasts.length).toBeGreaterThan(5);
    const held = arms.filter(({ measure }) => measure.startsWith('held.jsonl'));
    expect(held.length).toBe(4);
    for (const { arm, mean } of held) {
      const row = html.split('<tr>').find((one) => one.includes(`</svg>${arm}</th>`));
      expect(row).toContain(`>${mean.value.toFixed(2).slice(0, 3)}`);
    }
    expect(html).toContain('42.07 % (the paper)');
    expect(html).toContain('2 discordant problems');
  });

  test('names no path of this machine and no host, in any of its files', () => {
    const files = [
      out,
      at('report.md'),
      ...readdirSync(at('report-charts')).map((name) => at('report-charts', name)),
    ];
    for (const file of files.filter((name) => !name.endsWith('.png'))) {
      expect(text(file)).not.toContain(folder);
      expect(text(file)).not.toContain(host);
    }
    expect(text(out)).toContain('…/');
  });

  test('has no markup of what it was given', () => {
    expect(text(out)).toContain('<h1>A study of &lt;b&gt;nothing&lt;/b&gt; | at all</h1>');
    expect(text(at('report.md'))).toContain('# A study of \\<b\\>nothing\\</b\\> \\| at all');
  });

  test('has in Markdown every chart, and no chart that it does not show', () => {
    const shown = [...text(at('report.md')).matchAll(/\]\(report-charts\/([^)]+)\.svg\)/g)].map(
      ([, name]) => name,
    );
    expect(shown.length).toBeGreaterThan(10);
    expect(new Set(shown).size).toBe(shown.length);
    const files = readdirSync(at('report-charts')).sort();
    expect(files).toEqual(shown.flatMap((name) => [`${name}.png`, `${name}.svg`]).sort());
    for (const name of shown) {
      expect(text(at('report-charts', `${name}.svg`))).toContain(
        '@media screen and (prefers-color-scheme:dark)',
      );
      expect(
        readFileSync(at('report-charts', `${name}.png`))
          .subarray(1, 4)
          .toString(),
      ).toBe('PNG');
    }
  });

  test('is the same bytes again, and takes charts that it no longer has away', async () => {
    const before = text(out);
    writeFileSync(at('report-charts', 'of-before.svg'), '<svg/>');
    expect((await report(study, '--out', out)).code).toBe(0);
    expect(text(out)).toBe(before);
    expect(readdirSync(at('report-charts')).filter((name) => !name.endsWith('.svg'))).toEqual([]);
    expect(existsSync(at('report-charts', 'of-before.svg'))).toBe(false);
  });
});

test('runs and evaluations have pages too, whatever their folders are called', async () => {
  const name = '<img src=x onerror=alert(1)>';
  cpSync(join(study, 'runs', 'lambda-0.5', 'seed-0'), at('two', name), { recursive: true });
  cpSync(join(study, 'runs', 'lambda-0.5', 'seed-1'), at('two', 'a|b'), { recursive: true });
  rmSync(at('two', 'a|b', 'summary.json'));
  cpSync(join(study, 'evaluations', 'humaneval', 'base-model'), at('two', 'base'), { recursive: true });
  cpSync(join(study, 'evaluations', 'humaneval', 'lambda-0.5', 'seed-0'), at('two', 'tuned'), {
    recursive: true,
  });
  const out = at('two.html');
  const { code, stdout, stderr } = await report(at('two'), '--out', out, '--json', '--permutations', '0');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(JSON.parse(stdout)).toEqual({ html: out, markdown: at('two.md'), charts: at('two-charts') });
  const html = text(out);
  expect(html).not.toContain('<img');
  expect(html).toContain('&lt;img src=x onerror=alert(1)&gt;');
  expect(html).toContain('goes on, or was killed');
  expect(html).toContain('tuned less base');
  expect(plain(html)).toContain('25 % [');
  expect(html).toContain('train.seed');
  const table = text(at('two.md'))
    .split('\n')
    .filter((line) => line.startsWith('| a\\|b'));
  expect(table.length).toBeGreaterThan(0);
});

describe('refuses in one line, and writes nothing', () => {
  test.each([
    [['study', '--out', 'report.txt'], /--out: must name a file that ends in \.html/],
    [['study', '--out', 'nowhere/report.html'], /--out: there is no folder .*nowhere/],
    [['study', '--out', 'README.html'], /--out: .*README\.html is there, and no report was written into it/],
    [['study', '--out', 'notes.html'], /--out: .*notes\.md is there, and no report was written into it/],
    [['study', '--out', 'own.html'], /--out: .*own-charts is there, and is no report's/],
    [['nothing', '--out', 'x.html'], /nothing: there is no such folder/],
    [['study.yaml', '--out', 'x.html'], /study\.yaml: is a file; needs the folder of/],
    [['model', '--out', 'x.html'], /model: holds no run, no evaluation with results, and no study/],
  ])('%j', async ([path, , out], message) => {
    writeFileSync(at('README.html'), 'mine');
    writeFileSync(at('notes.md'), 'mine');
    cpSync(at('model'), at('own-charts'), { recursive: true });
    const before = readdirSync(folder).sort();
    const { code, stdout, stderr } = await report(at(path), '--out', at(out));
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(message);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(readdirSync(folder).sort()).toEqual(before);
    expect([text(at('README.html')), text(at('notes.md'))]).toEqual(['mine', 'mine']);
  });

  test('a study whose evaluations have changed places', async () => {
    const [one, two] = ['base-model', 'lambda-0.5/seed-0'].map((job) =>
      at('study', evaluationFolderOf('humaneval', job)),
    );
    const swap = () => {
      for (const [from, to] of [
        [one, at('kept')],
        [two, one],
        [at('kept'), two],
      ])
        renameSync(from, to);
    };
    swap();
    const { code, stderr } = await report(study, '--out', at('swapped.html'));
    swap();
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /humaneval\/\S+: was not made with (the run's adapter|the base model alone); move it/,
    );
    expect(existsSync(at('swapped.html'))).toBe(false);
  });

  test('a record that is malformed', async () => {
    cpSync(join(study, 'evaluations', 'humaneval', 'base-model'), at('broken'), { recursive: true });
    writeFileSync(
      at('broken', 'results.json'),
      text(at('broken', 'results.json')).replace('"n": 4', '"n": 5'),
    );
    const { code, stderr } = await report(at('broken'), '--out', at('broken.html'));
    expect(code).toBe(2);
    expect(stderr).toMatch(/results\.json: n is 5, but the rows of .* give 4/);
    expect(existsSync(at('broken.html'))).toBe(false);
    expect(statSync(at('broken')).isDirectory()).toBe(true);
  });
});

/** The text of a page without its marks. */
function plain(html: string): string {
  const named: Record<string, string> = { '&lt;': '<', '&gt;': '>', '&quot;': '"', '&amp;': '&' };
  return html.replace(/&(lt|gt|quot|amp);/g, (mark) => named[mark]);
}
