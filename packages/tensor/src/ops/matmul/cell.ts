import { type Kernel, kernel } from '../../kernel-record.ts';
import { scaleWgsl } from '../../quantized-wgsl.ts';
import { load, storageType } from '../../wgsl.ts';
import { type Problem, plusAt, plusBinding } from './problem.ts';

/** One invocation a cell of the output: for products too small for anything else to pay. */
export function cellKernel({ m, n, k, batch, strideA, strideB, scalesB, ...variant }: Problem): Kernel {
  const { transposeA, transposeB, typeA, typeB } = variant;
  return kernel({
    name: 'matmul cell',
    in: { a: { type: storageType(typeA, 1) }, b: { type: storageType(typeB, 1) }, ...plusBinding(variant) },
    out: { out: { type: 'f32' } },
    params: { m, n, k, strideA, strideB, ...scalesB },
    grid: { cells: batch * m * n },
    variant: [transposeA, transposeB, typeA, typeB],
    declarations: () => scaleWgsl('b', typeB),
    body: () => `  let column = flat % p.n;
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
  out[flat] = ${plusAt(variant, 'flat')}sum;`,
  });
}
