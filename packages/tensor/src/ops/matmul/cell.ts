import { type Kernel, kernel } from '../../kernel-record.ts';
import { scaleWgsl } from '../../quantized-wgsl.ts';
import { load, storageType } from '../../wgsl.ts';
import { alphaParam, ended, endingOf, type Problem, plusBinding } from './problem.ts';

/** One invocation a cell of the output: for products too small for anything else to pay. */
export function cellKernel(p: Problem): Kernel {
  const { m, n, k, batch, strideA, strideB, transposeA, transposeB, typeA, typeB } = p;
  const ending = endingOf(p);
  return kernel({
    name: 'matmul cell',
    in: { a: { type: storageType(typeA, 1) }, b: { type: storageType(typeB, 1) }, ...plusBinding(p) },
    out: { out: { type: 'f32' } },
    params: { m, n, k, strideA, strideB, ...p.scalesB, ...alphaParam(p) },
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
  out[flat] = ${ended(ending, 'flat', 'sum')};`,
  });
}
