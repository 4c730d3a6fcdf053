import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '@flex/base/testing';
import { readTensors } from '@flex/fixtures';
import { withoutSandbox } from '@flex/judge/testing';
import { modelTypes } from '@flex/llama';
import { fabricateModel } from '@flex/llama/testing';
import { relativeError } from '@flex/tensor/testing';
import { expect, test } from 'vitest';
import { flex } from './testing/flex.ts';

/** A model of the family that is small, and whose windows, where it has some, are shorter than the texts. */
const sizes = (modelType: string) => ({
  ...{ model_type: modelType, hidden_size: 16, intermediate_size: 24, num_hidden_layers: 2 },
  ...{ num_attention_heads: 2, num_key_value_heads: 1, head_dim: 8, vocab_size: 400 },
  ...{ max_position_embeddings: 512, sliding_window: 16, use_sliding_window: true, max_window_layers: 1 },
});

/** A HumanEval-shaped problem. */
const problem = {
  task_id: 'own/0',
  prompt: 'def add(x):\n    """x and 1 together."""\n',
  entry_point: 'add',
  canonical_solution: '    return x + 1\n',
  test: 'def check(candidate):\n    assert candidate(1) == 2\n',
};

async function succeeds(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await flex(...args);
  expect({ code, args }, stderr).toEqual({ code: 0, args });
  return stdout;
}

// Heads with norms and windows, layer norms with biases and no gate, a scaled embedding with other norms.
const different = ['qwen3', 'starcoder2', 'gemma'];

test.each(process.env.FLEX_LONG_TESTS === '1' ? modelTypes : different)(
  '%s is trained, and its adapter evaluated as it is and merged',
  async (modelType) => {
    const folder = temporaryFolder();
    const path = (name: string) => join(folder, name);
    fabricateModel(path('model'), { config: sizes(modelType) });
    writeFileSync(
      path('rows.jsonl'),
      Array(4).fill(`{"prompt": "def f(x):\\n    ", "completion": "return x + 1\\n"}\n`).join(''),
    );
    writeFileSync(path('problems.jsonl'), `${JSON.stringify(problem)}\n`);
    await succeeds(
      ...['train', `model=${path('model')}`, `data.source=${path('rows.jsonl')}`, 'lora.targets=all-linear'],
      ...[
        'optimizer.lr=0.05',
        'train.batch_size=2',
        'train.epochs=4',
        `out=${path('run')}`,
        '--device',
        'cpu',
        '--json',
      ],
    );
    const losses = readFileSync(path('run/metrics.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { loss: number }).loss);
    expect(losses.at(-1)!).toBeLessThan(losses[0]);
    await succeeds(
      'merge',
      '--model',
      path('model'),
      '--adapter',
      path('run'),
      '--out',
      path('merged'),
      '--dtype',
      'f32',
    );

    writeFileSync(
      path('ids.json'),
      JSON.stringify({ input_ids: [Array.from({ length: 40 }, (_, i) => 9 * i)] }),
    );
    const logits = async (out: string, ...model: string[]) => {
      const where = ['--input', path('ids.json'), '--out', path(out), '--device', 'cpu'];
      await succeeds('logits', ...model, ...where);
      return readTensors(path(out)).get('logits')!.data;
    };
    const adapted = ['--model', path('model'), '--adapter', path('run')];
    const expected = await logits('adapted.safetensors', ...adapted);
    expect(
      relativeError(await logits('merged.safetensors', '--model', path('merged')), expected),
    ).toBeLessThan(1e-5);

    if (withoutSandbox) return;
    const where = ['--benchmark', path('problems.jsonl'), '--out', path('answers')];
    await succeeds('eval', ...adapted, ...where, '--max-new-tokens', '20', '--device', 'cpu');
    expect(JSON.parse(readFileSync(path('answers/results.json'), 'utf8'))).toMatchObject({ 'pass@1': 0 });
  },
);
