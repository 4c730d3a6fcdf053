/**
 * The candidate that `word` was most likely meant to be: the nearest, if its edits are at most `most`, unless
 * given a third of the word's letters (at least one). Undefined where none is that near.
 */
export function nearestName(
  word: string,
  candidates: Iterable<string>,
  most = Math.max(1, Math.floor(word.length / 3)),
): string | undefined {
  const [best] = ranked(word, candidates);
  return best?.edits <= most ? best.name : undefined;
}

/** The `count` candidates with the fewest edits from `word`, nearest first; the earlier wins a tie. */
export function nearestNames(word: string, candidates: Iterable<string>, count: number): string[] {
  return ranked(word, candidates)
    .slice(0, count)
    .map(({ name }) => name);
}

/** No name is longer, nor are there more to choose from: the time is their number times their lengths. */
const [longest, mostNames] = [128, 10_000];

function ranked(word: string, candidates: Iterable<string>): { name: string; edits: number }[] {
  const found: { name: string; edits: number }[] = [];
  for (const name of candidates) {
    found.push({ name, edits: found.length < mostNames ? boundedDistance(word, name) : Infinity });
  }
  return found.sort((a, b) => a.edits - b.edits);
}

/** The edits between two beginnings, and of the rest the letters that one has more than the other. */
function boundedDistance(a: string, b: string): number {
  const [beginA, beginB] = [a, b].map((name) => name.slice(0, longest).toLowerCase());
  return editDistance(beginA, beginB) + Math.abs(a.length - beginA.length - (b.length - beginB.length));
}

/**
 * Damerau's distance (optimal string alignment): the insertions, deletions, substitutions and swaps of
 * neighbours that lead from a to b, each letter edited at most once.
 */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const changed = last[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      row[j] = Math.min(last[j] + 1, row[j - 1] + 1, changed);
      if (a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) row[j] = Math.min(row[j], beforeLast[j - 2] + 1);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length];
}
