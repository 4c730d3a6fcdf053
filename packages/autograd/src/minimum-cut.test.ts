import fc from 'fast-check';
import { expect, test } from 'vitest';
import { minimumCut, type WeightedNodes } from './minimum-cut.ts';

/** Graphs without cycles of up to seven nodes. */
const graphs: fc.Arbitrary<WeightedNodes> = fc.integer({ min: 1, max: 7 }).chain((n) => {
  const node = fc.nat({ max: n - 1 });
  const weights = fc.array(fc.nat({ max: 5 }), { minLength: n, maxLength: n });
  const edges = fc.array(fc.tuple(node, node), { maxLength: 12 });
  return fc.record({ weights, edges: edges.map((list) => list.filter(([a, b]) => a < b)), ...ends(node) });
});
const ends = (node: fc.Arbitrary<number>) => ({
  sources: fc.uniqueArray(node, { maxLength: 3 }),
  sinks: fc.uniqueArray(node, { maxLength: 3 }),
});

/** Whether a path leads from a source to a sink past all nodes of a cut. */
function leads({ edges, sources, sinks }: WeightedNodes, cut: ReadonlySet<number>): boolean {
  const met = new Set(sources.filter((i) => !cut.has(i)));
  for (const i of met) for (const [a, b] of edges) if (a === i && !cut.has(b)) met.add(b);
  return sinks.some((i) => met.has(i));
}
const weightOf = ({ weights }: WeightedNodes, cut: Iterable<number>) =>
  [...cut].reduce((sum, i) => sum + weights[i], 0);

test('no set of nodes that separates sources from sinks weighs less', () =>
  fc.assert(
    fc.property(graphs, (graph) => {
      const found = minimumCut(graph);
      expect(leads(graph, found)).toBe(false);
      const subsets = Array.from({ length: 2 ** graph.weights.length }, (_, bits) =>
        graph.weights.flatMap((_, i) => ((bits >> i) & 1 ? [i] : [])),
      );
      const least = subsets.filter((cut) => !leads(graph, new Set(cut))).map((cut) => weightOf(graph, cut));
      expect(weightOf(graph, found)).toBe(Math.min(...least));
    }),
    { numRuns: 150 },
  ));

test('of equal cuts it is the one nearest to the sinks, and what cannot be cut is passed by', () => {
  const line = {
    edges: [
      [0, 1],
      [1, 2],
    ] as const,
    sources: [0],
    sinks: [2],
  };
  expect(minimumCut({ ...line, weights: [3, 3, 3] })).toEqual(new Set([2]));
  expect(minimumCut({ ...line, weights: [3, 2, Number.POSITIVE_INFINITY] })).toEqual(new Set([1]));
});
