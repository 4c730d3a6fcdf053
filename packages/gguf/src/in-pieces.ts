/** The numbers of chunks, each piece a whole multiple of so many; their sum must be one. */
export function* inPieces(
  chunks: Iterable<Uint8Array>,
  numbersOf: (bytes: Uint8Array) => Float32Array,
  multiple: number,
): Generator<Float32Array> {
  let rest = new Float32Array(0);
  for (const bytes of chunks) {
    const numbers = numbersOf(bytes);
    const all = rest.length === 0 ? numbers : new Float32Array(rest.length + numbers.length);
    if (all !== numbers) {
      all.set(rest);
      all.set(numbers, rest.length);
    }
    const whole = all.length - (all.length % multiple);
    if (whole > 0) yield all.subarray(0, whole);
    rest = all.slice(whole);
  }
  if (rest.length > 0) throw new Error(`gguf: ${rest.length} numbers are no multiple of ${multiple}`);
}
