/**
 * The logits of a next token, f32 [v], all of them finite. Throws Error, in one line, for the first that is
 * not; `place` says where the token stands.
 */
export function finiteLogits(logits: Float32Array, place: string): Float32Array {
  for (let id = 0; id < logits.length; id++) {
    if (Number.isFinite(logits[id])) continue;
    throw new Error(
      `the logit of token ${id} is ${logits[id]} ${place}: the model or its adapter holds numbers that are not ` +
        'finite, or too large to compute with',
    );
  }
  return logits;
}
