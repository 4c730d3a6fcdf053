import { type Kernel, kernel } from '../../kernel-record.ts';
import { scaleWgsl } from '../../quantized-wgsl.ts';
import type { DType } from '../../shape.ts';
import { load, load4, storageType } from '../../wgsl.ts';
import { alphaParam, type Ending, ended, endingOf, type Problem, plusBinding } from './problem.ts';

/** What the text of the kernel is specialised on. */
interface Variant extends Ending {
  /** Lanes of a subgroup: a multiple of 8. */
  readonly lanes: number;
  /** Rows of an output tile: 1 or a multiple of 8. */
  readonly rows: number;
  /** Output columns a lane. */
  readonly columns: number;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly typeA: DType;
  readonly typeB: DType;
  /** Read several neighbours at once; needs sizes that divide. */
  readonly wideA: boolean;
  readonly wideB: boolean;
}

/** Steps along k taken at once. 8 × 8 values of a lie spread over 8 lanes. */
const block = 8;
const range = (n: number): readonly number[] => Array.from({ length: n }, (_, i) => i);
const eight = range(block);

/** True where every row of a [.., k] operand starts at, and every step of 8 stays in, whole 16-byte words. */
const wholeSteps = (k: number) => k % block === 0;

// Rows and columns measured on software Vulkan: more of either spills registers, fewer load more a product.
// Where
// elements are read one by one, 16 rows gain little and take twice as long to compile.
function variantOf(p: Problem, lanes: number): Variant {
  const { transposeA, transposeB, typeA, typeB } = p;
  const narrow = p.n <= lanes;
  const wideA = p.m > 1 && (transposeA ? p.m % 4 === 0 : wholeSteps(p.k));
  const wideB = transposeB ? wholeSteps(p.k) : !narrow && p.n % 4 === 0;
  const rows = p.m === 1 ? 1 : p.m <= block || !wideA || !(wideB || narrow) ? block : 2 * block;
  return {
    lanes,
    rows,
    columns: narrow ? 1 : transposeB && typeB === 'f32' ? 2 : 4,
    transposeA,
    transposeB,
    typeA,
    typeB,
    wideA,
    wideB,
    ...endingOf(p),
  };
}

/**
 * One subgroup computes `rows` rows of `lanes · columns` cells, without barriers: each lane owns columns and
 * reads its part of b; the values of a that 8 steps need are read once, by 8 lanes, and handed round by
 * broadcast.
 */
export function broadcastKernel(p: Problem, lanes: number): Kernel {
  const { m, n, k, strideA, strideB } = p;
  const variant = variantOf(p, lanes);
  const across = Math.ceil(n / (lanes * variant.columns));
  const down = Math.ceil(m / variant.rows);
  const tiles = across * down * p.batch;
  return kernel({
    name: 'matmul broadcast',
    in: {
      a: { type: storageType(variant.typeA, variant.wideA ? 4 : 1) },
      b: { type: elementB(variant) },
      ...plusBinding(p),
    },
    out: { out: { type: 'f32' } },
    params: { m, n, k, tiles, across, down, strideA, strideB, ...p.scalesB, ...alphaParam(p) },
    grid: { groups: tiles, workgroup: lanes },
    variant: Object.values(variant),
    subgroups: true,
    declarations: () => scaleWgsl('b', variant.typeB),
    body: () => broadcastBody(variant),
  });
}

/** How the kernel reads b: along k eight halves or four words at once, or four columns, or one element. */
function elementB({ transposeB, typeB, wideB }: Variant): string {
  return wideB && transposeB && typeB === 'f16' ? 'vec4u' : storageType(typeB, wideB ? 4 : 1);
}

/** Statements, and the names in which they leave the values of step u for row i or column j. */
interface Operand {
  /** Before the loop. */
  readonly start: string;
  /** Reads the steps k … k+7. */
  readonly read: string;
  readonly value: (u: number, index: number) => string;
  /** Reads step k alone, for what is left of k; null where nothing can be left. */
  readonly readOne: string | null;
  readonly valueOne: (index: number) => string;
}

const component = (index: number) => 'xyzw'[index % 4];

function operandA({ rows, transposeA, typeA, wideA }: Variant): Operand {
  const spread = (name: string, from: number) => `subgroupBroadcast(${name}, ${from}u)`;
  const each = range(rows);
  const eights = range(rows / block);
  if (wideA && transposeA) {
    const read = (at: string) =>
      [
        `let atA = (${at}) / 4u;`,
        ...range(rows / 4).map((q) => `let a${q} = ${load4('a', typeA, `atA + ${q}u`)};`),
      ].join(' ');
    return {
      start: '',
      read: read('startA + (k + part) * p.m + row'),
      value: (u, i) => spread(`a${i >> 2}.${component(i)}`, u),
      readOne: read('startA + k * p.m + row'),
      valueOne: (i) => `a${i >> 2}.${component(i)}`,
    };
  }
  if (wideA) {
    const four = (q: number, half: number) =>
      `let a${q}_${half} = ${load4('a', typeA, `firstA${q} + k / 4u + ${half}u`)};`;
    return {
      start: eights
        .map((q) => `let firstA${q} = (startA + (row + ${q * block}u + part) * p.k) / 4u;`)
        .join(' '),
      read: eights.map((q) => `${four(q, 0)} ${four(q, 1)}`).join(' '),
      value: (u, i) => spread(`a${i >> 3}_${u >> 2}.${component(u)}`, i % block),
      readOne: null,
      valueOne: () => '',
    };
  }
  const at = (step: string, i: string) =>
    load(
      'a',
      typeA,
      transposeA ? `startA + (${step}) * p.m + row + ${i}` : `startA + (row + ${i}) * p.k + ${step}`,
    );
  return {
    start: '',
    read: transposeA
      ? eight
          .flatMap((u) => eights.map((q) => `let a${u}_${q} = ${at(`k + ${u}u`, `${q * block}u + part`)};`))
          .join(' ')
      : each.map((i) => `let a${i} = ${at('k + part', `${i}u`)};`).join(' '),
    value: (u, i) => (transposeA ? spread(`a${u}_${i >> 3}`, i % block) : spread(`a${i}`, u)),
    readOne: each.map((i) => `let a${i} = ${at('k', `${i}u`)};`).join(' '),
    valueOne: (i) => `a${i}`,
  };
}

function operandB({ columns, transposeB, typeB, wideB }: Variant): Operand {
  const each = range(columns);
  if (wideB && transposeB) {
    const starts = (words: number) =>
      each.map((j) => `let firstB${j} = (startB + column${j} * p.k) / ${words}u;`).join(' ');
    const alone = { readOne: null, valueOne: () => '' };
    if (typeB === 'f16') {
      const halves = (j: number) =>
        range(4)
          .map((q) => `let h${j}_${q} = unpack2x16float(b${j}.${component(q)});`)
          .join(' ');
      return {
        start: starts(8),
        read: each.map((j) => `let b${j} = b[firstB${j} + k / 8u]; ${halves(j)}`).join('\n    '),
        value: (u, j) => `h${j}_${u >> 1}.${component(u % 2)}`,
        ...alone,
      };
    }
    if (typeB === 'int8' || typeB === 'nf4') {
      // A row has one scale, or one for each 64 elements of the whole matrix.
      const at = (j: number) => `startB + column${j} * p.k`;
      const begins = (j: number) => `k == 0u || ((firstB${j} + k) & 63u) == 0u`;
      return {
        start: each
          .map(
            (j) =>
              `let firstB${j} = ${at(j)}; var scale${j} = ${typeB === 'int8' ? `bScale(firstB${j})` : '0.0'};`,
          )
          .join(' '),
        read: each
          .map((j) => {
            const scale = typeB === 'nf4' ? `if (${begins(j)}) { scale${j} = bScale(firstB${j} + k); } ` : '';
            return `${scale}let b${j} = bEight(firstB${j} + k) * scale${j};`;
          })
          .join('\n    '),
        value: (u, j) => `b${j}[${u >> 2}].${component(u)}`,
        ...alone,
      };
    }
    return {
      start: starts(4),
      read: each
        .map(
          (j) =>
            `let atB${j} = firstB${j} + k / 4u; let b${j}_0 = b[atB${j}]; let b${j}_1 = b[atB${j} + 1u];`,
        )
        .join('\n    '),
      value: (u, j) => `b${j}_${u >> 2}.${component(u)}`,
      ...alone,
    };
  }
  if (wideB) {
    const at = (step: string) => load4('b', typeB, `(startB + (${step}) * p.n + column0) / 4u`);
    return {
      start: '',
      read: eight.map((u) => `let b${u} = ${at(`k + ${u}u`)};`).join('\n    '),
      value: (u, j) => `b${u}.${component(j)}`,
      readOne: `let b0 = ${at('k')};`,
      valueOne: (j) => `b0.${component(j)}`,
    };
  }
  const at = (step: string, j: number) =>
    load(
      'b',
      typeB,
      transposeB ? `startB + column${j} * p.k + ${step}` : `startB + (${step}) * p.n + column${j}`,
    );
  return {
    start: '',
    read: eight.flatMap((u) => each.map((j) => `let b${u}_${j} = ${at(`k + ${u}u`, j)};`)).join('\n    '),
    value: (u, j) => `b${u}_${j}`,
    readOne: each.map((j) => `let b${j} = ${at('k', j)};`).join(' '),
    valueOne: (j) => `b${j}`,
  };
}

/**
 * Rows and columns past the output's edge are computed from whatever the buffer holds there (WebGPU keeps
 * such reads inside it) and not stored; steps past k are never read. The tile is clamped, not left by an
 * early return: that halves the speed on software Vulkan, where every later read is then masked lane by lane.
 */
function broadcastBody(variant: Variant): string {
  const { lanes, rows, columns, transposeB, wideB } = variant;
  const [a, b] = [operandA(variant), operandB(variant)];
  const each = range(columns);
  const lines = range(rows);
  const together = wideB && !transposeB;
  const column = (j: number) =>
    together
      ? `(across * ${lanes}u + lane) * 4u + ${j}u`
      : `across * ${lanes * columns}u + ${j * lanes}u + lane`;
  const steps = eight.flatMap((u) =>
    lines.map((i) => {
      const sums = each.map((j) => `s${i}_${j} += x${u}_${i} * ${b.value(u, j)};`);
      return `let x${u}_${i} = ${a.value(u, i)}; ${sums.join(' ')}`;
    }),
  );
  const oneStep = lines.map((i) =>
    each.map((j) => `s${i}_${j} += ${a.valueOne(i)} * ${b.valueOne(j)};`).join(' '),
  );
  const rest =
    a.readOne !== null && b.readOne !== null
      ? `  for (var k = whole; k < p.k; k++) {
    ${a.readOne}
    ${b.readOne}
    ${oneStep.join('\n    ')}
  }`
      : '';
  const stores = lines.map(
    (i) =>
      `  if (row + ${i}u < p.m) { ${each
        .map((j) => {
          const place = `at + column${j}`;
          return `if (column${j} < p.n) { out[${place}] = ${ended(variant, place, `s${i}_${j}`)}; }`;
        })
        .join(' ')} } at += p.n;`,
  );
  return `  let tile = min(group.x + group.y * groups.x, p.tiles - 1u);
  let across = tile % p.across;
  let line = tile / p.across;
  let row = (line % p.down) * ${rows}u;
  let matrix = line / p.down;
  let startA = matrix * p.strideA;
  let startB = matrix * p.strideB;
  let part = lane % ${block}u;
  ${each.map((j) => `let column${j} = ${column(j)};`).join(' ')}
  ${a.start}
  ${b.start}
  ${lines.map((i) => each.map((j) => `var s${i}_${j} = 0.0;`).join(' ')).join('\n  ')}
  let whole = p.k / ${block}u * ${block}u;
  for (var k = 0u; k < whole; k += ${block}u) {
    ${a.read}
    ${b.read}
    ${steps.join('\n    ')}
  }
${rest}
  var at = (matrix * p.m + row) * p.n;
${stores.join('\n')}`;
}
