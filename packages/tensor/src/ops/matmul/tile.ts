import { type Kernel, kernel } from '../../kernel-record.ts';
import { scaleWgsl } from '../../quantized-wgsl.ts';
import type { DType } from '../../shape.ts';
import { load, storageType } from '../../wgsl.ts';
import { alphaParam, type Ending, ended, endingOf, type Problem, plusBinding } from './problem.ts';

/** What the text of the kernel is specialised on. */
interface Variant extends Ending {
  /** Rows and columns of the output a thread. */
  readonly each: 4 | 8;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly typeA: DType;
  readonly typeB: DType;
}

/** 16 × 16 threads, and as many steps along k held in workgroup memory. */
const side = 16;
const range = (n: number): readonly number[] => Array.from({ length: n }, (_, i) => i);
/** Output tiles that keep a large device busy: from here on a thread takes 8 × 8 cells instead of 4 × 4. */
const manyTiles = 256;

/**
 * The portable kernel: a workgroup computes a square tile of the output from panels of a and b in workgroup
 * memory, zero past the edges. Nothing is asked of the sizes or of the device.
 */
export function tileKernel(p: Problem): Kernel {
  const { transposeA, transposeB, typeA, typeB, m, n, k, strideA, strideB } = p;
  const tilesOf = (each: number) => [n, m].map((length) => Math.ceil(length / (side * each)));
  const [across8, down8] = tilesOf(8);
  const each = across8 * down8 * p.batch >= manyTiles ? 8 : 4;
  const [across, down] = tilesOf(each);
  const tiles = across * down * p.batch;
  const variant: Variant = { each, transposeA, transposeB, typeA, typeB, ...endingOf(p) };
  return kernel({
    name: 'matmul tile',
    in: { a: { type: storageType(typeA, 1) }, b: { type: storageType(typeB, 1) }, ...plusBinding(p) },
    out: { out: { type: 'f32' } },
    params: { m, n, k, tiles, across, down, strideA, strideB, ...p.scalesB, ...alphaParam(p) },
    grid: { groups: tiles, workgroup: side * side },
    variant: Object.values(variant),
    declarations: () =>
      [
        ...['A', 'B'].map((name) => `var<workgroup> panel${name}: array<f32, ${side * pitchOf(each)}>;`),
        scaleWgsl('b', typeB),
      ].join('\n'),
    body: () => tileBody(variant),
  });
}

/** One more word a step: threads that write the same line's neighbouring steps then hit different banks. */
const pitchOf = (each: number): number => side * each + 1;

function tileBody(variant: Variant): string {
  const { each, transposeA, transposeB, typeA, typeB } = variant;
  const width = side * each;
  const pitch = pitchOf(each);
  const cells = range(each);
  /** Copies 16 steps of `width` lines; neighbouring threads read neighbouring elements. */
  const fill = (name: 'a' | 'b', dtype: DType, first: string, lines: string, stepsAreRows: boolean) => {
    const panel = name.toUpperCase();
    const [step, line] = stepsAreRows ? [`e / ${width}u`, `e % ${width}u`] : [`e % ${side}u`, `e / ${side}u`];
    return `    for (var e = lane; e < ${side * width}u; e += ${side * side}u) {
      let inner = ${step}; let step = k + inner; let offset = ${line}; let line = ${first} + offset;
      var value = 0.0;
      if (step < p.k && line < ${lines}) {
        let at = start${panel} + ${stepsAreRows ? `step * ${lines} + line` : 'line * p.k + step'};
        value = ${load(name, dtype, 'at')};
      }
      panel${panel}[inner * ${pitch}u + offset] = value;
    }`;
  };
  /** The same of a quantized b: eight neighbours at once, which share a scale and are in the panel or not. */
  const fillQuantized = (stepsAreRows: boolean) => {
    const [step, line] = stepsAreRows
      ? [`e / ${width / 8}u`, `(e % ${width / 8}u) * 8u`]
      : ['(e % 2u) * 8u', 'e / 2u'];
    const index = stepsAreRows ? 'step * p.n + line' : 'line * p.k + step';
    const store = (u: number) => {
      const place = stepsAreRows
        ? `inner * ${pitch}u + offset + ${u}u`
        : `(inner + ${u}u) * ${pitch}u + offset`;
      return `panelB[${place}] = eight[${u >> 2}].${'xyzw'[u % 4]};`;
    };
    return `    for (var e = lane; e < ${(side * width) / 8}u; e += ${side * side}u) {
      let inner = ${step}; let step = k + inner; let offset = ${line}; let line = firstColumn + offset;
      var eight = mat2x4f();
      if (step < p.k && line < p.n) { eight = bEight(${index}) * bScale(${index}); }
      ${range(8).map(store).join(' ')}
    }`;
  };
  const fillB =
    typeB === 'int8' || typeB === 'nf4'
      ? fillQuantized(!transposeB)
      : fill('b', typeB, 'firstColumn', 'p.n', !transposeB);
  return `  let tile = min(group.x + group.y * groups.x, p.tiles - 1u);
  let firstColumn = (tile % p.across) * ${width}u;
  let rest = tile / p.across;
  let firstRow = (rest % p.down) * ${width}u;
  let matrix = rest / p.down;
  let startA = matrix * p.strideA;
  let startB = matrix * p.strideB;
  let x = lane % ${side}u;
  let y = lane / ${side}u;
  ${cells.map((i) => cells.map((j) => `var s${i}_${j} = 0.0;`).join(' ')).join('\n  ')}
  for (var k = 0u; k < p.k; k += ${side}u) {
${fill('a', typeA, 'firstRow', 'p.m', transposeA)}
${fillB}
    workgroupBarrier();
    for (var inner = 0u; inner < ${side}u; inner++) {
      ${cells.map((i) => `let a${i} = panelA[inner * ${pitch}u + y + ${i * side}u];`).join(' ')}
      ${cells.map((j) => `let b${j} = panelB[inner * ${pitch}u + x + ${j * side}u];`).join(' ')}
      ${cells.map((i) => cells.map((j) => `s${i}_${j} += a${i} * b${j};`).join(' ')).join('\n      ')}
    }
    workgroupBarrier();
  }
${cells
  .map((i) => {
    const stores = cells.map((j) => {
      const place = `at + ${j * side}u`;
      return `if (column + ${j * side}u < p.n) { out[${place}] = ${ended(variant, place, `s${i}_${j}`)}; }`;
    });
    return `  { let row = firstRow + y + ${i * side}u; let column = firstColumn + x;
    let at = (matrix * p.m + row) * p.n + column;
    if (row < p.m) { ${stores.join(' ')} } }`;
  })
  .join('\n')}`;
}
