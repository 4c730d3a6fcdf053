import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type LoraConfig, spectraOfAdapter, writeAdapter } from '@flex/peft';
import { openReference, tensor } from '@flex/tensor';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { flex } from '../testing/flex.ts';

const reference = openReference();
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'flex-spectrum-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const modules = ['model.layers.0.self_attn.q_proj', 'model.layers.31.mlp.gate_proj'];

function someParams(seed: number, rank = 2, size = 24) {
  const draw = (k: number, rows: number, columns: number) =>
    tensor(
      reference,
      Array.from({ length: rows * columns }, (_, i) => Math.fround(Math.sin(9 * (i + 1) * (k + seed)))),
      [rows, columns],
    );
  return new Map(
    modules.map(
      (path, k) => [path, { a: draw(2 * k + 1, rank, size), b: draw(2 * k + 2, 30, rank) }] as const,
    ),
  );
}

/** Writes an adapter of two modules. */
async function write(path: string, params = someParams(1)): Promise<string> {
  const [{ a }] = params.values();
  const config: LoraConfig = {
    rank: a.shape[0],
    alpha: 4,
    dropout: 0,
    targets: modules.map((module) => module.split('.').at(-1)!),
    scaling: 'alpha/r',
  };
  await writeAdapter(join(folder, path), params, config);
  return join(folder, path);
}

function writeRun(name: string, options: object | null, lines: readonly string[] = []): string {
  const run = join(folder, name);
  mkdirSync(run, { recursive: true });
  const regularizers = options === null ? null : [{ name: 'fourier', options, lambda: 0, enters: 'loss' }];
  writeFileSync(join(run, 'manifest.json'), JSON.stringify({ kind: 'flex-run', protocol: { regularizers } }));
  writeFileSync(join(run, 'spectrum.jsonl'), lines.map((line) => `${line}\n`).join(''));
  return run;
}

const spectrum = (...args: string[]) => flex('spectrum', '--device', 'cpu', ...args);

/** The lines of a table fit a terminal, and an SVG file is whole and has no number that is none. */
function expectReadable(stdout: string, svg?: string): void {
  const wide = stdout.split('\n').filter((line) => line.startsWith('│') && line.length > 80);
  expect(wide).toEqual([]);
  if (svg === undefined) return;
  const text = readFileSync(svg, 'utf8');
  expect(text).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg"[\s\S]*<\/svg>\n$/);
  expect(text).not.toMatch(/NaN|Infinity|undefined/);
  const [opened, closed] = [/<(g|text|svg|title|style)[ >]/g, /<\/(g|text|svg|title|style)>/g].map(
    (tags) => text.match(tags)!.length,
  );
  expect(opened).toBe(closed);
}

describe('of an adapter', () => {
  test('the penalty, shares, bands and their noise of every parameter, and singular values', async () => {
    const adapter = await write('plain');
    const { code, stdout, stderr } = await spectrum('--adapter', adapter, '--json', '--quiet');
    expect(code, stderr).toBe(0);
    const { parameters, products, totals, penalty, permutations } = JSON.parse(stdout);
    const direct = (await spectraOfAdapter(someParams(1))).each;
    expect(parameters).toHaveLength(4);
    const { name, bins, power, share_below, share_above, bands, noise, ...rest } = parameters[0];
    const own = direct.get(`${modules[0]}.a`)!;
    expect(name).toBe(`base_model.model.${modules[0]}.lora_A.weight`);
    expect([bins, bands.length, noise.bands.length, permutations]).toEqual([25, 32, 32, 39]);
    expect(power).toBeCloseTo(own.power, 4);
    expect(share_below).toBeCloseTo(own.below, 5);
    expect(share_below + share_above).toBeCloseTo(1, 12);
    expect(noise.below[0]).toBeLessThan(noise.below[1]);
    expect(Object.keys(rest)).toEqual(['penalty']);
    expect(penalty).toBeCloseTo(
      [...direct.values()].reduce((sum, one) => sum + one.penalty, 0),
      4,
    );
    expect(products.map((product: { name: string }) => product.name)).toEqual(modules);
    expect(products[0].singular_values).toHaveLength(2);
    expect(totals.map((total: { name: string }) => total.name)).toEqual(['A', 'B', 'inputs', 'outputs']);
  });

  test('the tables fit 80 columns, and say what is shown', async () => {
    const svg = join(folder, 'adapter.svg');
    const { code, stdout, stderr } = await spectrum('--adapter', await write('plain'), '--svg', svg);
    expect(code, stderr).toBe(0);
    expectReadable(stdout, svg);
    for (const word of ['0.self_attn.q_proj.A', 's·B·A, outputs', 'of 4 parameters', 'before λ'])
      expect(stdout).toContain(word);
    const without = await spectrum('--adapter', await write('plain'), '--permutations', '0');
    expect(without.stdout).not.toContain('95 % of permutations');
  });

  test('the options of the penalty are those of the run that it is of, unless they are given', async () => {
    const run = writeRun('run', { threshold: 0.25, norm: 'mean', phi_low: 0.5, scope: 'change' });
    const options = async (...args: string[]) => {
      const { code, stdout, stderr } = await spectrum('--json', '--permutations', '0', ...args);
      expect(code, stderr).toBe(0);
      return { ...JSON.parse(stdout), stderr };
    };
    for (const place of ['run/adapter', 'run/checkpoints/step-3/adapter']) {
      const found = await options('--adapter', await write(place));
      expect(found.run).toBe(run);
      expect(found.options).toMatchObject({ threshold: 0.25, norm: 'mean', phi_low: 0.5, scope: 'each' });
      expect(found.stderr).toContain('the penalty of the run has scope change');
    }
    const given = await options('--adapter', join(run, 'adapter'), '--norm', 'ortho', '--threshold', '0.75');
    expect(given.options).toMatchObject({ threshold: 0.75, norm: 'ortho', phi_low: 0.5 });
    expect((await options('--adapter', await write('plain'))).options).toMatchObject({ threshold: 0.5 });
  });
});

describe('of two adapters', () => {
  test('each, and the second less the first', async () => {
    const [first, second] = [await write('first'), await write('second', someParams(2))];
    const svg = join(folder, 'two.svg');
    const shown = await spectrum('--adapter', first, '--against', second, '--svg', svg);
    expect(shown.code, shown.stderr).toBe(0);
    expectReadable(shown.stdout, svg);
    const { stdout } = await spectrum(
      '--adapter',
      first,
      '--against',
      second,
      '--json',
      '--permutations',
      '0',
    );
    const { difference, against } = JSON.parse(stdout);
    const direct = (await spectraOfAdapter(someParams(2), { scope: 'change' }, someParams(1))).each;
    for (const [i, { power }] of [...direct.values()].entries())
      expect(difference.parameters[i].power / power).toBeCloseTo(1, 4);
    expect(difference.products[0].singular_values).toHaveLength(4);
    expect(against.adapter).toBe(second);
  });

  test('the same twice has no difference', async () => {
    const adapter = await write('first');
    const args = ['--adapter', adapter, '--against', adapter, '--json', '--permutations', '0'];
    const { difference } = JSON.parse((await spectrum(...args)).stdout);
    for (const { power } of difference.parameters) expect(power).toBe(0);
    for (const { singular_values } of difference.products) expect(singular_values[0]).toBeLessThan(1e-12);
  });

  test('of other ranks, the products alone have a difference; of other sizes nothing', async () => {
    const [first, wide] = [await write('first'), await write('wide', someParams(3, 3))];
    const { code, stdout, stderr } = await spectrum('--adapter', first, '--against', wide);
    expect(code, stderr).toBe(0);
    expectReadable(stdout);
    const other = await write('other', someParams(3, 2, 25));
    const refused = await spectrum('--adapter', first, '--against', other, '--permutations', '0');
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining('no module in common')]);
  });
});

describe('of a run', () => {
  const line = (step: number, power: number) => {
    const shares = { power, share_below: power > 0 ? 0.625 : 0 };
    const totals = ['A', 'B', 'inputs', 'outputs'].map((name) => ({ name, ...shares, bands: [1] }));
    const products = [{ name: 'm', singular_values: [3 * power, 4 * power] }];
    return JSON.stringify({ step, totals, parameters: [{ name: 'm.a', ...shares }], products });
  };

  test('what training kept, update by update', async () => {
    const lines = [line(0, 0), line(3, 1)];
    const run = writeRun('kept', { threshold: 0.25 }, lines);
    const svg = join(folder, 'run.svg');
    const { code, stdout, stderr } = await spectrum('--run', run, '--svg', svg);
    expect(code, stderr).toBe(0);
    expectReadable(stdout, svg);
    expect(stdout).toMatch(/│ +0 │ +– │/);
    // No tick lies between two updates.
    expect(readFileSync(svg, 'utf8')).not.toMatch(/>\d+\.\d+<\/text>/);
    expect(stdout).toMatch(/│ +3 │ +62\.5 % │.* 5\.000 │ +4\.000 │/);
    const json = JSON.parse((await spectrum('--run', run, '--json')).stdout);
    expect(json.spectra).toEqual(lines.map((text) => JSON.parse(text)));
    expect(json.options.threshold).toBe(0.25);
  });
});

test('what is wrong is told in one line with exit code 2', async () => {
  const adapter = await write('plain');
  const empty = writeRun('empty', {});
  const broken = writeRun('broken', null, ['{"step": 1}']);
  await write('broken/adapter');
  const [[path, { a, b }]] = someParams(1);
  const damaged = new Map([
    [path, { a: tensor(reference, [Number.NaN, ...(await a.data()).slice(1)], a.shape), b }],
  ]);
  for (const [said, ...args] of [
    ['give --adapter, or --run'],
    ['--threshold is for --adapter', '--run', empty, '--threshold', '0.5'],
    ['training keeps one every train.spectrum_every updates', '--run', empty],
    ['holds no run', '--run', join(folder, 'plain')],
    ['protocol.regularizers says no penalty', '--adapter', join(broken, 'adapter')],
    ['give --adapter, or --run for a run over time, not both', '--adapter', adapter, '--run', empty],
    ['It must be 0 or one less than a multiple of 40', '--adapter', adapter, '--permutations', '40'],
    ['It must be a number above 0 and at most 1', '--adapter', adapter, '--threshold', '2'],
    ['This command takes one adapter', '--adapter', adapter, '--adapter', adapter],
    ['--svg: there is no folder', '--adapter', adapter, '--svg', join(folder, 'none', 'a.svg')],
    ['--svg: must name a file', '--adapter', adapter, '--svg', folder],
    ['Allowed choices are ortho, backward, mean', '--adapter', adapter, '--norm', 'none'],
    ['q_proj.lora_A.weight has numbers that are not finite', '--adapter', await write('nan', damaged)],
  ]) {
    const { code, stderr, stdout } = await spectrum('--quiet', ...args);
    expect([code, stdout], stderr).toEqual([2, '']);
    expect(stderr.trim().split('\n').at(-1)).toContain(said);
  }
});
