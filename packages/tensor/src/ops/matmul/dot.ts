import { type Kernel, kernel } from '../../kernel-record.ts';
import type { WgslDevice } from '../../op.ts';
import { scaleWgsl } from '../../quantized-wgsl.ts';
import type { DType } from '../../shape.ts';
import { load, load4, storageType } from '../../wgsl.ts';
import { alphaParam, type Ending, ended, endingOf, type Problem, plusBinding } from './problem.ts';

/** What the text of the kernel is specialised on. */
interface Variant extends Ending {
  readonly typeA: DType;
  readonly typeB: DType;
  /** Eight neighbours along k at once; needs k % 8 = 0. */
  readonly wide: boolean;
}

/** Output columns a workgroup: each part of a that is read serves them all. */
const columns = [0, 1, 2, 3];

/**
 * A few dot products a workgroup, each spread over its lanes along k and added up at the end: for outputs
 * with so few rows or columns that a tile would be mostly empty. a is [.., m, k] and b [.., n, k].
 */
export function dotKernel(p: Problem, device: WgslDevice): Kernel {
  const { typeA, typeB, m, n, k, strideA, strideB } = p;
  const variant: Variant = { typeA, typeB, wide: k % 8 === 0, ...endingOf(p) };
  const across = Math.ceil(n / columns.length);
  const unit = variant.wide ? 4 : 1;
  const typeOfB = variant.wide && typeB === 'f16' ? 'vec4u' : storageType(typeB, unit);
  return kernel({
    name: 'matmul dot',
    in: { a: { type: storageType(typeA, unit) }, b: { type: typeOfB }, ...plusBinding(p) },
    out: { out: { type: 'f32' } },
    params: { m, n, k, across, strideA, strideB, ...p.scalesB, ...alphaParam(p) },
    grid: { rows: across * m * p.batch, device },
    variant: Object.values(variant),
    declarations: () => scaleWgsl('b', typeB),
    body: () => dotBody(variant),
  });
}

function dotBody(variant: Variant): string {
  const { typeA, typeB, wide } = variant;
  const halves = wide && typeB === 'f16';
  const terms = (j: number): string => {
    if (!wide) return `s${j} += x * ${load('b', typeB, `b${j} + k`)};`;
    if (typeB === 'int8' || typeB === 'nf4') {
      const at = `(b${j} + k) * 4u`;
      return `let w${j} = bEight(${at}) * bScale(${at}); s${j} += dot(x, w${j}[0]) + dot(y, w${j}[1]);`;
    }
    if (!halves)
      return `s${j} += dot(x, ${load4('b', typeB, `b${j} + k`)}) + dot(y, ${load4('b', typeB, `b${j} + k + 1u`)});`;
    return `let w${j} = b[b${j} + k / 2u];
    s${j} += dot(x, vec4f(unpack2x16float(w${j}.x), unpack2x16float(w${j}.y)))
      + dot(y, vec4f(unpack2x16float(w${j}.z), unpack2x16float(w${j}.w)));`;
  };
  const unit = wide ? 4 : 1;
  const step = wide ? 2 : 1;
  return `  let column = (row % p.across) * ${columns.length}u;
  let line = row / p.across;
  let matrix = line / p.m;
  let firstA = (matrix * p.strideA + (line % p.m) * p.k) / ${unit}u;
${columns
  .map((j) => {
    const index = `matrix * p.strideB + min(column + ${j}u, p.n - 1u) * p.k`;
    return `  var s${j} = 0.0; let b${j} = (${index}) / ${halves ? 8 : unit}u;`;
  })
  .join('\n')}
  for (var k = lane * ${step}u; k < p.k / ${unit}u; k += LANES * ${step}u) {
    let x = ${unit === 4 ? load4('a', typeA, 'firstA + k') : load('a', typeA, 'firstA + k')};
${wide ? `    let y = ${load4('a', typeA, 'firstA + k + 1u')};\n` : ''}    ${columns.map(terms).join('\n    ')}
  }
${columns.map((j) => `  let sum${j} = reduceSum(s${j}, lane);`).join('\n')}
  let at = line * p.n + column;
  if (lane == 0u) {
${columns
  .map((j) => {
    const sum = ended(variant, `at + ${j}u`, `sum${j}`);
    return `    if (column + ${j}u < p.n) { out[at + ${j}u] = ${sum}; }`;
  })
  .join('\n')}
  }`;
}
