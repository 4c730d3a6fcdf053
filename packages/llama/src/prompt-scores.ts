import { finiteLogits } from './finite-logits.ts';
import { logSoftmax, type ScoredToken, scoredToken } from './log-probabilities.ts';

/** Log-probabilities of the tokens of a prompt, which come one after the other. */
export interface PromptScores {
  /** Takes the logits of the next of them, from the second on. */
  push(logits: Float32Array): void;
  /** Those of all tokens; nothing stands before the first. Throws Error for a logit that was not finite. */
  all(): readonly (ScoredToken | null)[];
}

/** No scores yet; each token is to have `alternatives`. */
export function newPromptScores(prompt: readonly number[], alternatives: number): PromptScores {
  const scored: (ScoredToken | null)[] = [null];
  let failed: unknown = null;
  return {
    push(logits) {
      const at = scored.length;
      try {
        finiteLogits(logits, `at token ${at + 1} of the prompt`);
      } catch (error) {
        failed ??= error;
      }
      scored.push(scoredToken(logSoftmax(logits), prompt[at], alternatives));
    },
    all() {
      if (failed) throw failed;
      return scored;
    },
  };
}
