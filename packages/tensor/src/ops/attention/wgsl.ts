import { f32, type Kernel, kernel } from '../../kernel-record.ts';
import type { WgslDevice } from '../../op.ts';
import { type DType, type Spec, size } from '../../shape.ts';
import { load, load4, storageType } from '../../wgsl.ts';
import { type AttentionAttrs, type AttentionSizes, sizesOf } from './problem.ts';

// A workgroup takes a few rows, and passes over the columns with one of them a lane: queries are the rows and
// keys the columns, or the other way round for the gradients of keys and values. A lane has the scores of all
// rows with its column; then it owns some of the d numbers of each row's sum, to which the weights of all
// lanes add. Lanes are a subgroup where its size is known, which hands on what one of them has without a
// barrier; elsewhere each is alone, with a row and all numbers of its sum, and a workgroup is as many of
// those.

/** Lanes of a workgroup where each is alone. */
const loners = 64;
/** What the sums of one that is alone are rounded up to, so that few texts serve all d. */
const piecesAlone = 8;
/** Rows that software Vulkan reads at once, to hand their values round. */
const eight = 8;
/** Numbers of all sums that a lane should have: more spill registers, and take long to compile. */
const sumsALane = 64;

/** A number below every score: what is not seen. The first maximum lies between: its weight is then 0. */
const unseenScore = '-1e30';
const firstMaximum = '-1e29';

const range = (n: number): readonly number[] => Array.from({ length: n }, (_, i) => i);

/** What the text of a kernel depends on besides types. */
interface Form {
  /** That share their rows: 1 where each is alone. */
  readonly lanes: number;
  readonly rows: number;
  /** Numbers that lie side by side: 4 where d is a multiple of it, else 1. */
  readonly wide: 1 | 4;
  /** Pieces of `wide` numbers of a sum that a lane owns: number lane, lanes + lane, … of each vector. */
  readonly pieces: number;
  readonly software: boolean;
  /** Whether a tensor says which keys a query sees. */
  readonly bounded: boolean;
}

function formOf(
  { d }: AttentionSizes,
  bounded: boolean,
  { subgroupSize, software }: WgslDevice,
  length: number,
  sums: number,
): Form {
  if (subgroupSize === 0) {
    const wide = d % 4 === 0 ? 4 : 1;
    const pieces = piecesAlone * Math.ceil(d / wide / piecesAlone);
    return { lanes: 1, rows: 1, wide, pieces, software: false, bounded };
  }
  const lanes = subgroupSize;
  // On a software rasteriser a wide load costs as much as a narrow one; elsewhere lanes had better all have
  // some.
  const wide = d % 4 === 0 && (software || d >= 4 * lanes) ? 4 : 1;
  const pieces = Math.ceil(d / (wide * lanes));
  const fits = (rows: number) => rows * sums * wide * pieces <= sumsALane;
  const most = length >= 8 * eight && fits(2 * eight) ? 2 * eight : fits(eight) ? eight : eight / 2;
  return {
    lanes,
    rows: length === 1 ? 1 : most,
    wide,
    pieces,
    software: software && lanes % eight === 0,
    bounded,
  };
}

/** The vectors of a tensor [b, n, heads, d], as the text reads them. */
interface Vectors {
  readonly name: string;
  readonly dtype: DType;
  readonly heads: 'h' | 'kv';
}

const vectors = (
  name: string,
  heads: 'h' | 'kv',
  { dtype }: { dtype: DType } = { dtype: 'f32' },
): Vectors => ({
  name,
  dtype,
  heads,
});

const lengthOf = ({ heads }: Vectors) => (heads === 'h' ? 'p.t' : 'p.s');

/** Where vector i of the head begins, in pieces of `wide` numbers. */
const vectorAt = ({ heads }: Vectors, i: string, wide: number) => {
  const [n, head] = heads === 'h' ? ['p.t', 'head'] : ['p.s', 'kvHead'];
  return `((batch * ${n} + ${i}) * p.${heads} + ${head}) * p.d${wide === 4 ? ' / 4u' : ''}`;
};

const loadPiece = ({ name, dtype }: Vectors, wide: number, index: string) =>
  wide === 4 ? load4(name, dtype, index) : load(name, dtype, index);

const pieceType = (wide: number) => (wide === 4 ? 'vec4f' : 'f32');
/** Of a vector. */
const piecesOf = (wide: number) => (wide === 4 ? 'p.d / 4u' : 'p.d');

/** `name`i: the products of the rows with the lane's column, along d. */
function products(form: Form, name: string, rows: Vectors, columns: Vectors): string {
  const { wide, software } = form;
  const each = range(form.rows);
  const components = wide === 4 ? ['.x', '.y', '.z', '.w'] : [''];
  const eights = range(Math.ceil(form.rows / eight));
  const at = (i: string) => vectorAt(rows, `min(row + ${i}, ${lengthOf(rows)} - 1u)`, wide);
  const starts = software
    ? eights.map((e) => `let first${e} = ${at(`${eight * e}u + lane % ${eight}u`)};`)
    : each.map((i) => `let first${i} = ${at(`${i}u`)};`);
  const reads = (software ? eights : each).map(
    (i) => `let a${i} = ${loadPiece(rows, wide, `first${i} + c`)};`,
  );
  const terms = each.map((i) =>
    software
      ? components
          .map((part) => `${name}${i} += subgroupBroadcast(a${i >> 3}${part}, ${i % eight}u) * x${part};`)
          .join(' ')
      : `${name}${i} += ${wide === 4 ? `dot(a${i}, x)` : `a${i} * x`};`,
  );
  return `    ${each.map((i) => `var ${name}${i} = 0.0;`).join(' ')}
    { ${starts.join(' ')}
    let own = ${vectorAt(columns, `min(column + mine, ${lengthOf(columns)} - 1u)`, wide)};
    for (var c = 0u; c < ${piecesOf(wide)}; c++) {
      let x = ${loadPiece(columns, wide, 'own + c')};
      ${reads.join(' ')}
      ${terms.join('\n      ')}
    } }`;
}

/** The sums of the rows as variables `name`i_m. */
const sums = ({ rows, pieces, wide }: Form, name: string) =>
  `  ${range(rows)
    .map((i) =>
      range(pieces)
        .map((m) => `var ${name}${i}_${m} = ${pieceType(wide)}();`)
        .join(' '),
    )
    .join('\n  ')}`;

/**
 * Adds the vectors of all columns to sums, each with the weights that its lane has of the rows: `weight`i.
 */
function addVectors(form: Form, added: readonly { sum: string; weight: string; of: Vectors }[]): string {
  const { lanes, rows, wide, pieces, software } = form;
  const handedOn = (weight: string, j: string) =>
    lanes === 1 ? weight : `subgroup${software ? 'Broadcast' : 'Shuffle'}(${weight}, ${j})`;
  const step = (j: string) =>
    added
      .map(({ sum, weight, of }) => {
        const start = vectorAt(of, `min(column + ${j}, ${lengthOf(of)} - 1u)`, wide);
        const reads = range(pieces).map((m) => {
          const place = `min(mine + ${m * lanes}u, ${piecesOf(wide)} - 1u)`;
          return `let x${m} = ${loadPiece(of, wide, `start + ${place}`)};`;
        });
        const terms = range(rows).map((i) => {
          const adds = range(pieces).map((m) => `${sum}${i}_${m} += w * x${m};`);
          return `{ let w = ${handedOn(`${weight}${i}`, j)}; ${adds.join(' ')} }`;
        });
        return `{ let start = ${start}; ${reads.join(' ')}
      ${terms.join('\n      ')} }`;
      })
      .join('\n      ');
  // Software Vulkan broadcasts from a lane whose number the text has, and shuffles element by element.
  if (software)
    return range(lanes)
      .map((j) => `    ${step(`${j}u`)}`)
      .join('\n');
  return `    for (var j = 0u; j < ${lanes}u; j++) {
      ${step('j')}
    }`;
}

/** What all lanes make of `value`i together. */
const together = ({ rows, lanes }: Form, value: string, combine: 'Max' | 'Add'): string =>
  lanes === 1
    ? ''
    : range(rows)
        .map((i) => `${value}${i} = subgroup${combine}(${value}${i});`)
        .join(' ');

/** Writes the sums of the rows that there are, each times a factor. */
const store = (
  { rows, pieces, lanes, wide }: Form,
  sum: string,
  out: Vectors,
  factor: (i: number) => string,
) =>
  range(rows)
    .map((i) => {
      const writes = range(pieces).map((m) => {
        const place = `mine + ${m * lanes}u`;
        return `if (${place} < ${piecesOf(wide)}) { ${out.name}[at + ${place}] = ${sum}${i}_${m}${factor(i)}; }`;
      });
      return `  if (row + ${i}u < ${lengthOf(out)}) { let at = ${vectorAt(out, `row + ${i}u`, wide)}; ${writes.join(' ')} }`;
    })
    .join('\n');

/** The first and the last key that a query of the batch sees. */
const boundsOf = ({ bounded }: Form, query: string): readonly [first: string, last: string] => {
  const at = `2u * (batch * p.t + ${query})`;
  return bounded
    ? [`seen[${at}]`, `max(seen[${at}], seen[${at} + 1u])`]
    : ['0', `i32(min(p.s - 1u, p.offset + ${query}))`];
};

/**
 * Queries of a head as rows: `first`i and `last`i of each, and `begin` and `end` of what they see together.
 */
function queryRows(form: Form): string {
  const each = range(form.rows);
  const bounds = each.map((i) => {
    const [first, last] = boundsOf(form, `min(p.t - 1u, row + ${i}u)`);
    return `let first${i} = ${first}; let last${i} = ${last};`;
  });
  const all = (f: 'min' | 'max', name: string) =>
    each.map((i) => `${name}${i}`).reduce((x, y) => `${f}(${x}, ${y})`);
  return `  let batch = line / p.h; let head = line % p.h; let kvHead = head / p.group;
  ${bounds.join('\n  ')}
  let begin = ${form.bounded ? `u32(${all('min', 'first')})` : '0u'};
  let end = u32(${form.bounded ? all('max', 'last') : `last${form.rows - 1}`}) + 1u;`;
}

/** The place of a query among all of all heads. */
const placeOf = (query: string) => `(batch * p.t + ${query}) * p.h + head`;
/** Read one at a time. */
const flat = ({ shape, dtype }: Spec): Spec => ({ shape: [size(shape)], dtype });
/** lse and delta of the query at a place: the first and the second plane of `ofRows`. */
const lseAt = (place: string) => `ofRows[${place}]`;
const deltaAt = (place: string) => `ofRows[p.b * p.t * p.h + ${place}]`;

interface Rows {
  readonly name: string;
  readonly in: Readonly<Record<string, Spec>>;
  readonly out: Readonly<Record<string, Spec>>;
  readonly attrs: AttentionAttrs;
  readonly sizes: AttentionSizes;
  readonly form: Form;
  /** How many rows there are, for each of so many heads. */
  readonly length: number;
  readonly heads: number;
  readonly body: () => string;
}

function rowsKernel({ sizes, form, attrs, length, heads, body, ...record }: Rows): Kernel {
  const { b, t, h, d, s, kv, group } = sizes;
  const blocks = Math.ceil(length / form.rows);
  const tiles = b * heads * blocks;
  const alone = form.lanes === 1;
  /** Vectors are read in pieces. */
  const bindings = (specs: Readonly<Record<string, Spec>>) =>
    Object.fromEntries(
      Object.entries(specs).map(([name, { dtype, shape }]) => [
        name,
        { type: storageType(dtype, shape.length === 4 ? form.wide : 1) },
      ]),
    );
  return kernel({
    name: record.name,
    in: bindings(record.in),
    out: bindings(record.out),
    params: { b, t, h, d, s, kv, group, offset: attrs.offset, tiles, blocks, scale: f32(attrs.scale) },
    grid: alone
      ? { groups: Math.ceil(tiles / loners), workgroup: loners }
      : { groups: tiles, workgroup: form.lanes },
    variant: Object.values(form),
    subgroups: !alone,
    // The tile is clamped, not left by an early return, which would mask every later read on software Vulkan.
    body: () => `  let tile = min(${alone ? 'flat' : 'group.x + group.y * groups.x'}, p.tiles - 1u);
  let mine = ${alone ? '0u' : 'lane'};
  let row = (tile % p.blocks) * ${form.rows}u;
  let line = tile / p.blocks;
${body()}`,
  });
}

/** Attention: a running maximum of each row, and of its sum each lane's part. */
export function attentionKernel(
  inputs: readonly Spec[],
  [mixed, lse]: readonly Spec[],
  attrs: AttentionAttrs,
  device: WgslDevice,
): Kernel {
  const [q, k, v, seen] = inputs;
  const sizes = sizesOf(inputs);
  const form = formOf(sizes, seen !== undefined, device, sizes.t, 1);
  const each = range(form.rows);
  const rescaled = (i: number) =>
    range(form.pieces)
      .map((m) => `o${i}_${m} *= f${i};`)
      .join(' ');
  return rowsKernel({
    name: 'attention',
    in: { q, k, v, ...(seen && { seen }) },
    out: { mixed, lse },
    attrs,
    sizes,
    form,
    length: sizes.t,
    heads: sizes.h,
    body: () => `${queryRows(form)}
  ${each.map((i) => `var top${i} = ${firstMaximum}; var total${i} = 0.0;`).join(' ')}
${sums(form, 'o')}
  for (var column = begin; column < end; column += ${form.lanes}u) {
${products(form, 's', vectors('q', 'h'), vectors('k', 'kv', k))}
    let key = i32(column + mine);
    ${each
      .map((i) => {
        const seesKey = `key <= last${i}${form.bounded ? ` && key >= first${i}` : ''}`;
        return `s${i} = select(${unseenScore}, s${i} * p.scale, ${seesKey}); var t${i} = max(top${i}, s${i});`;
      })
      .join('\n    ')}
    ${together(form, 't', 'Max')}
    ${each
      .map(
        (i) =>
          `let f${i} = exp(top${i} - t${i}); s${i} = exp(s${i} - t${i}); top${i} = t${i}; ` +
          `total${i} = total${i} * f${i} + s${i}; ${rescaled(i)}`,
      )
      .join('\n    ')}
${addVectors(form, [{ sum: 'o', weight: 's', of: vectors('v', 'kv', v) }])}
  }
  ${together(form, 'total', 'Add')}
${store(form, 'o', vectors('mixed', 'h'), (i) => ` * (1.0 / total${i})`)}
${each
  .map((i) => {
    const place = placeOf(`row + ${i}u`);
    return `  if (mine == 0u && row + ${i}u < p.t) { lse[${place}] = top${i} + log(total${i}); }`;
  })
  .join('\n')}`,
  });
}

/** dq: rows are queries. */
export function queryGradientKernel(
  inputs: readonly Spec[],
  [dq]: readonly Spec[],
  attrs: AttentionAttrs,
  device: WgslDevice,
): Kernel {
  const [q, k, v, g, ofRows, seen] = inputs;
  const sizes = sizesOf(inputs);
  const form = formOf(sizes, seen !== undefined, device, sizes.t, 1);
  const each = range(form.rows);
  return rowsKernel({
    name: 'attentionQueryGradient',
    in: { q, k, v, g, ofRows: flat(ofRows), ...(seen && { seen }) },
    out: { dq },
    attrs,
    sizes,
    form,
    length: sizes.t,
    heads: sizes.h,
    body: () => `${queryRows(form)}
  ${each.map((i) => `let at${i} = ${placeOf(`min(p.t - 1u, row + ${i}u)`)}; let lse${i} = ${lseAt(`at${i}`)}; let delta${i} = ${deltaAt(`at${i}`)};`).join('\n  ')}
${sums(form, 'o')}
  for (var column = begin; column < end; column += ${form.lanes}u) {
${products(form, 's', vectors('q', 'h'), vectors('k', 'kv'))}
${products(form, 'u', vectors('g', 'h'), vectors('v', 'kv'))}
    let key = i32(column + mine);
    ${each
      .map((i) => {
        const seesKey = `key <= last${i}${form.bounded ? ` && key >= first${i}` : ''}`;
        const pull = `p.scale * exp(s${i} * p.scale - lse${i}) * (u${i} - delta${i})`;
        return `s${i} = select(0.0, ${pull}, ${seesKey});`;
      })
      .join('\n    ')}
${addVectors(form, [{ sum: 'o', weight: 's', of: vectors('k', 'kv') }])}
  }
${store(form, 'o', vectors('dq', 'h'), () => '')}`,
  });
}

/** dk and dv: rows are keys, and the queries of all heads of their group pass over them as columns. */
export function keyValueGradientsKernel(
  inputs: readonly Spec[],
  [dk, dv]: readonly Spec[],
  attrs: AttentionAttrs,
  device: WgslDevice,
): Kernel {
  const [q, k, v, g, ofRows, seen] = inputs;
  const sizes = sizesOf(inputs);
  const form = formOf(sizes, seen !== undefined, device, sizes.s, 2);
  const each = range(form.rows);
  const [first, last] = boundsOf(form, 'query');
  const earliest = form.bounded ? '0u' : 'u32(max(0, i32(row) - i32(p.offset)))';
  return rowsKernel({
    name: 'attentionKeyValueGradients',
    in: { q, k, v, g, ofRows: flat(ofRows), ...(seen && { seen }) },
    out: { dk, dv },
    attrs,
    sizes,
    form,
    length: sizes.s,
    heads: sizes.kv,
    body: () => `  let batch = line / p.kv; let kvHead = line % p.kv;
${sums(form, 'm')}
${sums(form, 'o')}
  let earliest = min(p.t, ${earliest});
  let steps = (p.t - earliest + ${form.lanes - 1}u) / ${form.lanes}u;
  for (var step = 0u; step < steps * p.group; step++) {
    let head = kvHead * p.group + step / steps;
    let column = earliest + step % steps * ${form.lanes}u;
${products(form, 's', vectors('k', 'kv'), vectors('q', 'h'))}
${products(form, 'u', vectors('v', 'kv'), vectors('g', 'h'))}
    let query = min(p.t - 1u, column + mine); let at = ${placeOf('query')};
    let firstKey = ${first}; let lastKey = select(-1, ${last}, column + mine < p.t);
    let lseOfQuery = ${lseAt('at')}; let deltaOfQuery = ${deltaAt('at')};
    ${each
      .map((i) => {
        const key = `i32(row + ${i}u)`;
        const seesKey = `${key} <= lastKey${form.bounded ? ` && ${key} >= firstKey` : ''}`;
        return (
          `s${i} = select(0.0, exp(s${i} * p.scale - lseOfQuery), ${seesKey}); ` +
          `u${i} = select(0.0, p.scale * s${i} * (u${i} - deltaOfQuery), ${seesKey});`
        );
      })
      .join('\n    ')}
${addVectors(form, [
  { sum: 'm', weight: 'u', of: vectors('q', 'h') },
  { sum: 'o', weight: 's', of: vectors('g', 'h') },
])}
  }
${store(form, 'm', vectors('dk', 'kv'), () => '')}
${store(form, 'o', vectors('dv', 'kv'), () => '')}`,
  });
}
