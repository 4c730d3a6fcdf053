import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CausalLM, loadModel, newDecoder, openChatTemplate, openTokenizer } from '@flex/llama';
import { mul, openWasm } from '@flex/tensor';
import type { Models } from '../served.ts';
import { newTurns } from '../turns.ts';

const micro = join(import.meta.dirname, '../../../cli/assets/micro');

/** A template as simple as one can be: a line a turn, a system message as a comment. */
const template =
  '{{ "<s>" }}{% for m in messages %}{{ "# " if m.role == "system" }}{{ m.content }}\n{% endfor %}';

function openTemplate() {
  const folder = mkdtempSync(join(tmpdir(), 'flex-chat-'));
  try {
    writeFileSync(join(folder, 'chat_template.jinja'), template);
    return openChatTemplate(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export const tokenizer = openTokenizer(micro);
export const chatTemplate = openTemplate();

/**
 * The bundled model, which has a chat template here, with an adapter `contrary`, to which the least likely
 * token is the likeliest.
 */
export async function openMicro({ slots }: { readonly slots: number }) {
  const backend = await openWasm();
  const model = await loadModel(backend, micro, { dtype: 'f16' });
  const contrary: CausalLM = {
    ...model,
    linear: (x, path) => (path === 'lm_head' ? mul(model.linear(x, path), -1) : model.linear(x, path)),
  };
  const turns = newTurns();
  const decoder = newDecoder(model, slots, {
    adapters: new Map([['contrary', contrary]]),
    pause: turns.pause,
  });
  const models: Models = {
    decoder,
    slots,
    name: 'micro',
    adapters: ['contrary'],
    tokenizer,
    chatTemplate,
    turns,
    maxLength: model.config.maxPositions,
  };
  const close = async () => {
    await decoder.close();
    model.dispose();
    await backend.close();
  };
  return { models, model, backend, close };
}
