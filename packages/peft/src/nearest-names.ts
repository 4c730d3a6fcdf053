/** The `count` candidates with the fewest edits from `word`, nearest first; the earlier wins a tie. */
export function nearestNames(word: string, candidates: readonly string[], count: number): string[] {
  const ranked = candidates.map((name) => ({ name, edits: editDistance(word, name) }));
  ranked.sort((a, b) => a.edits - b.edits);
  return ranked.slice(0, count).map(({ name }) => name);
}

/** Levenshtein's distance: insertions, deletions and substitutions that lead from a to b. */
function editDistance(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const substituted = above[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      row[j] = Math.min(substituted, above[j] + 1, row[j - 1] + 1);
    }
    above = row;
  }
  return above[b.length];
}
