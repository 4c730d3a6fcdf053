import type { HostArray, HostLoop } from '../../op.ts';
import type { AttentionAttrs, AttentionSizes } from './problem.ts';

/** A query of a head, and the keys that it sees: all are places of first elements. */
interface Query {
  /** Its number among all [b, t, h]. */
  readonly row: number;
  readonly first: number;
  readonly last: number;
  /** The key of number j begins at `keys` + j·step. */
  readonly keys: number;
  readonly step: number;
}

function eachQuery(
  { b, t, h, d, s, kv, group }: AttentionSizes,
  { offset }: AttentionAttrs,
  seen: HostArray | undefined,
  visit: (query: Query) => void,
): void {
  for (let row = 0; row < b * t * h; row++) {
    const token = Math.floor(row / h);
    const first = seen ? seen[2 * token] : 0;
    const last = seen ? Math.max(first, seen[2 * token + 1]) : Math.min(s - 1, offset + (token % t));
    const head = Math.floor((row % h) / group);
    const keys = (Math.floor(token / t) * s * kv + head) * d;
    visit({ row, first, last, keys, step: kv * d });
  }
}

function dot(x: HostArray, atX: number, y: HostArray, atY: number, d: number): number {
  let sum = 0;
  for (let c = 0; c < d; c++) sum += x[atX + c] * y[atY + c];
  return sum;
}

function addTo(x: HostArray, atX: number, factor: number, y: HostArray, atY: number, d: number): void {
  for (let c = 0; c < d; c++) x[atX + c] += factor * y[atY + c];
}

export function attentionLoop(sizes: AttentionSizes, attrs: AttentionAttrs): HostLoop {
  const { d, s } = sizes;
  return ([q, k, v, seen], [mixed, lse]) => {
    const scores = new Float64Array(s);
    mixed.fill(0);
    eachQuery(sizes, attrs, seen, ({ row, first, last, keys, step }) => {
      let top = Number.NEGATIVE_INFINITY;
      for (let j = first; j <= last; j++) {
        scores[j] = attrs.scale * dot(q, row * d, k, keys + j * step, d);
        top = Math.max(top, scores[j]);
      }
      let total = 0;
      for (let j = first; j <= last; j++) {
        scores[j] = Math.exp(scores[j] - top);
        total += scores[j];
      }
      for (let j = first; j <= last; j++) addTo(mixed, row * d, scores[j] / total, v, keys + j * step, d);
      lse[row] = top + Math.log(total);
    });
  };
}

/** The weight of each pair of a query and a key that it sees, and the gradient in its score. */
function eachPair(
  sizes: AttentionSizes,
  attrs: AttentionAttrs,
  [q, k, v, g, rows, seen]: readonly HostArray[],
  visit: (atQuery: number, atKey: number, weight: number, pull: number) => void,
): void {
  const { b, t, h, d } = sizes;
  const plane = b * t * h;
  eachQuery(sizes, attrs, seen, ({ row, first, last, keys, step }) => {
    for (let j = first; j <= last; j++) {
      const [atQuery, atKey] = [row * d, keys + j * step];
      const weight = Math.exp(attrs.scale * dot(q, atQuery, k, atKey, d) - rows[row]);
      const pull = attrs.scale * weight * (dot(g, atQuery, v, atKey, d) - rows[plane + row]);
      visit(atQuery, atKey, weight, pull);
    }
  });
}

export function queryGradientLoop(sizes: AttentionSizes, attrs: AttentionAttrs): HostLoop {
  return (inputs, [dq]) => {
    const [, k] = inputs;
    dq.fill(0);
    eachPair(sizes, attrs, inputs, (atQuery, atKey, _, pull) => {
      addTo(dq, atQuery, pull, k, atKey, sizes.d);
    });
  };
}

export function keyValueGradientsLoop(sizes: AttentionSizes, attrs: AttentionAttrs): HostLoop {
  return (inputs, [dk, dv]) => {
    const [q, , , g] = inputs;
    dk.fill(0);
    dv.fill(0);
    eachPair(sizes, attrs, inputs, (atQuery, atKey, weight, pull) => {
      addTo(dk, atKey, pull, q, atQuery, sizes.d);
      addTo(dv, atKey, weight, g, atQuery, sizes.d);
    });
  };
}
