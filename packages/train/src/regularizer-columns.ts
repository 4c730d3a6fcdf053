/** The names, with a number behind each that stands before already: `l2`, `l2-2`. */
export function distinctLabels(names: readonly string[]): string[] {
  const labels: string[] = [];
  for (const name of names) {
    let label = name;
    for (let n = 2; labels.includes(label); n++) label = `${name}-${n}`;
    labels.push(label);
  }
  return labels;
}

/** The columns that regularizers give, a record each: of one alone as they are, of several `penalty.l2`. */
export function regularizerColumns(
  regularizers: readonly { readonly label: string }[],
  records: readonly Readonly<Record<string, number>>[],
): Record<string, number> {
  const columnOf = (key: string, i: number) =>
    regularizers.length > 1 ? `${key}.${regularizers[i].label}` : key;
  return Object.fromEntries(
    records.flatMap((record, i) => Object.entries(record).map(([key, value]) => [columnOf(key, i), value])),
  );
}
