/** A directed graph whose nodes have weights. */
export interface WeightedNodes {
  readonly weights: readonly number[];
  readonly edges: readonly (readonly [from: number, to: number])[];
  readonly sources: readonly number[];
  readonly sinks: readonly number[];
}

/**
 * The nodes of the least total weight without which no path leads from a source to a sink (either may be
 * among them); of several such sets the one nearest to the sinks. Weights are ≥ 0; on every path one is
 * finite. By augmenting shortest paths, each node being an arc from its even to its odd vertex.
 * Source: Edmonds & Karp, Theoretical Improvements in Algorithmic Efficiency for Network Flow Problems, 1972.
 */
export function minimumCut({ weights, edges, sources, sinks }: WeightedNodes): Set<number> {
  const [source, sink] = [2 * weights.length, 2 * weights.length + 1];
  /** What leaves a vertex; arc a ^ 1 is the reverse of arc a. */
  const arcs: number[][] = Array.from({ length: sink + 1 }, () => []);
  const head: number[] = [];
  const room: number[] = [];
  const join = (from: number, to: number, capacity: number): void => {
    arcs[from].push(head.push(to) - 1);
    room.push(capacity);
    arcs[to].push(head.push(from) - 1);
    room.push(0);
  };
  for (const [i, weight] of weights.entries()) join(2 * i, 2 * i + 1, weight);
  for (const [from, to] of edges) join(2 * from + 1, 2 * to, Number.POSITIVE_INFINITY);
  for (const i of sources) join(source, 2 * i, Number.POSITIVE_INFINITY);
  for (const i of sinks) join(2 * i + 1, sink, Number.POSITIVE_INFINITY);

  /** The arcs by which a search from `start` met each vertex first. */
  const search = (start: number, open: (arc: number) => boolean): Map<number, number> => {
    const via = new Map([[start, -1]]);
    for (const vertex of via.keys()) {
      for (const arc of arcs[vertex]) if (!via.has(head[arc]) && open(arc)) via.set(head[arc], arc);
    }
    return via;
  };
  for (;;) {
    const via = search(source, (arc) => room[arc] > 0);
    if (!via.has(sink)) break;
    const path: number[] = [];
    for (let v = sink; v !== source; v = head[path[path.length - 1] ^ 1]) path.push(via.get(v)!);
    const flow = Math.min(...path.map((arc) => room[arc]));
    for (const arc of path) {
      room[arc] -= flow;
      room[arc ^ 1] += flow;
    }
  }
  const reaching = search(sink, (arc) => room[arc ^ 1] > 0);
  return new Set([...weights.keys()].filter((i) => reaching.has(2 * i + 1) && !reaching.has(2 * i)));
}
