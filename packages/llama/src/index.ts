export { type BeamOptions, checkBeams } from './beam-search.ts';
export * from './chat-template.ts';
export * from './check-model.ts';
export { beyondContext } from './check-prompt.ts';
export * from './checkpoint-files.ts';
export * from './config.ts';
export {
  type Completion,
  type ContinuationEvents,
  type ContinuationOptions,
  checkContinuation,
} from './continuation.ts';
export * from './decoder.ts';
export * from './decoding-memory.ts';
export * from './documents-past.ts';
export { modelTypes } from './families/index.ts';
export { finiteLogits } from './finite-logits.ts';
export * from './generate.ts';
export * from './inspect-model.ts';
export * from './load-weights.ts';
export type { ScoredToken, TokenLogprob } from './log-probabilities.ts';
export * from './logit-agreement.ts';
export * from './model.ts';
export * from './past.ts';
export type { Penalties } from './penalties.ts';
export * from './quantized-weights.ts';
export { checkContent, readJson } from './read-json.ts';
export * from './rope.ts';
export * from './rotary-frequencies.ts';
export type { Rotary } from './rotary-tables.ts';
export * from './sample.ts';
export { newSlots, type Slots } from './slots.ts';
export * from './tokenizer/infill.ts';
export * from './tokenizer/open-tokenizer.ts';
export { readSentencePieceProto, type SentencePieceProto } from './tokenizer/sentence-piece.ts';
export type * from './tokenizer/tokenizer.ts';
export { vocabAndMerges } from './tokenizer/vocab-and-merges.ts';
export * from './weights.ts';
export * from './write-checkpoint.ts';
