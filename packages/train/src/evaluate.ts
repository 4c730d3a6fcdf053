import { type LlamaModel, lossSum, scoredTokens, type TokenBatch } from '@flex/llama';
import { scope } from '@flex/tensor';

/** Mean cross-entropy over all scored tokens of the batches, in nats a token. */
export async function meanLoss(model: LlamaModel, batches: readonly TokenBatch[]): Promise<number> {
  let total = 0;
  let tokens = 0;
  for (const batch of batches) {
    const sum = scope(() => lossSum(model, batch));
    total += await sum.item();
    sum.dispose();
    tokens += scoredTokens(batch);
  }
  return total / tokens;
}
