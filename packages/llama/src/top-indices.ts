/** The places of the largest `count` numbers, the largest first, of equal ones the first. */
export function topIndices(values: ArrayLike<number>, count: number): number[] {
  const best: number[] = [];
  if (count === 0) return best;
  for (let i = 0; i < values.length; i++) {
    if (best.length === count && !(values[i] > values[best[count - 1]])) continue;
    if (best.length === count) best.pop();
    let at = best.length;
    while (at > 0 && values[best[at - 1]] < values[i]) at--;
    best.splice(at, 0, i);
  }
  return best;
}
