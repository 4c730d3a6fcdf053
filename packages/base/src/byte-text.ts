/** Bytes for people: `17 KiB`, `212 MiB`, `16.7 GiB`. */
export function byteText(bytes: number): string {
  if (bytes < 2 ** 20) return `${(bytes / 2 ** 10).toFixed(0)} KiB`;
  return bytes < 2 ** 30 ? `${(bytes / 2 ** 20).toFixed(0)} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}

/** Bytes of a file for people, in the units of disks: `9.4 kB`, `6.9 MB`, `13.5 GB`. */
export function bytesText(bytes: number): string {
  const [unit, name] = (
    [
      [1e9, 'GB'],
      [1e6, 'MB'],
    ] as const
  ).find(([unit]) => bytes >= unit) ?? [1e3, 'kB'];
  return `${(bytes / unit).toFixed(1)} ${name}`;
}
