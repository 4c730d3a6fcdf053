import { expect, test } from 'vitest';
import { f32, kernel, wide } from './kernel.ts';

const x = { shape: [8], dtype: 'f32' } as const;

test('a text is built only when it is asked for', () => {
  let built = 0;
  const one = kernel({
    name: 'counted',
    in: { xs: x },
    out: { out: x },
    grid: { cells: 8 },
    body: () => {
      built++;
      return '  out[flat] = xs[flat];';
    },
  });
  expect(built).toBe(0);
  expect(one.text()).toContain('out[flat] = xs[flat];');
  expect(built).toBe(1);
});

test('fields and values of the params come from one record, those of the grid first', () => {
  const { immediates, text } = kernel({
    name: 'params',
    in: { xs: wide(x) },
    out: { out: wide(x) },
    params: { width: 4, eps: f32(1e-5) },
    grid: { cells: 2 },
    body: () => '  out[flat] = xs[flat] * p.eps;',
  });
  expect(text()).toContain('struct Params { cells: u32, width: u32, eps: f32 }');
  expect(immediates).toEqual([2, 4, { f32: 1e-5 }]);
});

test('keys differ where types, params, grids or variants do, and not where sizes do', () => {
  const base = { name: 'k', in: { xs: x }, out: { out: x }, grid: { cells: 8 }, body: () => '' };
  const device = { subgroupSize: 8, software: true };
  const keys = [
    base,
    { ...base, in: { xs: wide(x) } },
    { ...base, params: { n: 1 } },
    { ...base, params: { n: f32(1) } },
    { ...base, variant: ['odd'] },
    { ...base, grid: { rows: 8, device } },
    { ...base, grid: { rows: 8, device: { ...device, subgroupSize: 0 } } },
    { ...base, grid: { groups: 8, workgroup: 64 } },
  ].map((record) => kernel(record).key);
  expect(new Set(keys).size).toBe(keys.length);
  expect(kernel({ ...base, grid: { cells: 9 } }).key).toBe(kernel(base).key);
});

test('an input in the memory of an output has its name and no binding of its own', () => {
  const { text } = kernel({
    name: 'in place',
    in: { xs: x, xsBelow: x },
    out: { out: x },
    grid: { cells: 8 },
    body: () => '  out[flat] = xs[flat] + xsBelow[flat];',
  });
  const donated = text(new Map([[0, 0]]));
  expect(donated).toContain('out[flat] = out[flat] + xsBelow[flat];');
  expect(donated).toContain('@binding(0) var<storage, read> xsBelow');
  expect(donated).toContain('@binding(1) var<storage, read_write> out');
});
