import type { WgslKernel } from '../../op.ts';
import type { DType } from '../../shape.ts';
import { grid1d, load, shader, storageType } from '../../wgsl.ts';
import { cachedText, type Problem } from './problem.ts';

/** What the text of the kernel is specialised on. */
interface Variant {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly typeA: DType;
  readonly typeB: DType;
}

/** One thread a cell of the output: for products too small for anything else to pay. */
export function cellKernel({ m, n, k, batch, strideA, strideB, ...rest }: Problem): WgslKernel {
  const { transposeA, transposeB, typeA, typeB } = rest;
  const cells = batch * m * n;
  return {
    code: cachedText('cell', { transposeA, transposeB, typeA, typeB }, cellText),
    workgroups: grid1d(cells, 64),
    immediates: [cells, m, n, k, strideA, strideB],
  };
}

function cellText({ transposeA, transposeB, typeA, typeB }: Variant): string {
  return shader({
    inputs: [`a: ${storageType(typeA, 1)}`, `b: ${storageType(typeB, 1)}`],
    output: 'out: f32',
    params: ['cells', 'm', 'n', 'k', 'strideA', 'strideB'].map((name) => `${name}: u32`),
    workgroup: 64,
    body: `  if (flat >= p.cells) { return; }
  let column = flat % p.n;
  let line = flat / p.n;
  let row = line % p.m;
  let matrix = line / p.m;
  var atA = matrix * p.strideA + row${transposeA ? '' : ' * p.k'};
  var atB = matrix * p.strideB + column${transposeB ? ' * p.k' : ''};
  var sum = 0.0;
  for (var k = 0u; k < p.k; k++) {
    sum += ${load('a', typeA, 'atA')} * ${load('b', typeB, 'atB')};
    atA += ${transposeA ? 'p.m' : '1u'};
    atB += ${transposeB ? '1u' : 'p.n'};
  }
  out[flat] = sum;`,
  });
}
