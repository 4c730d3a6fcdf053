// Logits, loss and LoRA gradients of a model directory beside what PyTorch, transformers and PEFT make of it
// in f32, as ‖ours − theirs‖₂ / ‖theirs‖₂. Fails above --tolerance.
// tsx parity.ts --model DIR [--tokens 64] [--dtype f16] [--tolerance 1e-3] [--device cpu|webgpu]
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { forward, loadModel, logits, type TokenBatch } from '@flex/llama';
import type { Optimizer, Params } from '@flex/optim';
import { flattenAdapters, peftName, readAdapter, resolveLora, withAdapter } from '@flex/peft';
import { gather, keep, mul, reshape, scope, tensor } from '@flex/tensor';
import { openSafetensors, toFloat32 } from '@flex/tensor/safetensors';
import { update } from '@flex/train';
import { openDevice } from './device.ts';
import { benchOptions } from './harness.ts';

const options = benchOptions({ model: '', tokens: '64', dtype: 'f16', tolerance: '1e-3' });
const python = process.env.FLEX_PEER_PYTHON;
if (!python) throw new Error('FLEX_PEER_PYTHON names no Python');
const tokens = Number(options.tokens);
const positions = 8;

const out = mkdtempSync(join(tmpdir(), 'flex-parity-'));
process.on('exit', () => rmSync(out, { recursive: true }));
const script = join(import.meta.dirname, 'peers/parity.py');
const args = [script, options.model, out, String(tokens), String(positions)];
const { status, stdout } = spawnSync(python, args, {
  encoding: 'utf8',
  stdio: ['ignore', 'pipe', 'inherit'],
});
if (status !== 0) throw new Error(`parity.py ended with ${status}`);
const theirs = openSafetensors(join(out, 'outputs.safetensors'));

let worst = 0;
const told: [string, number][] = [];
const compare = (name: string, got: ArrayLike<number>, key = name) => {
  const bytes = Buffer.concat([...theirs.readChunks(key, 2 ** 24)]);
  const want = toFloat32(theirs.tensors.get(key)!.dtype, new Uint8Array(bytes));
  const norm = (values: Float32Array) => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0));
  const error = norm(want.map((x, i) => got[i] - x)) / norm(want);
  told.push([name, error]);
  worst = Math.max(worst, Number.isFinite(error) ? error : Number.POSITIVE_INFINITY);
};

const backend = await openDevice(options);
const model = await loadModel(backend, options.model, { dtype: options.dtype as 'f16' | 'f32' });
const { hiddenSize, vocabSize } = model.config;
const adapter = readAdapter(backend, join(out, 'adapter'), model);
const lora = resolveLora(adapter.config, adapter.params);
const weights = { params: adapter.params, whole: new Map() };
const input_ids = Int32Array.from({ length: tokens }, (_, i) => 3 + ((7919 * i) % (vocabSize - 3)));
const batch: TokenBatch = { b: 1, t: tokens, input_ids, labels: input_ids };

const rows = scope(() => {
  const adapted = withAdapter(model, weights, lora);
  const at = Int32Array.from({ length: positions }, (_, i) => (i + 1) * Math.floor(tokens / positions) - 1);
  const hidden = reshape(forward(adapted, tensor(backend, input_ids, [1, tokens], 'i32')), [
    tokens,
    hiddenSize,
  ]);
  return logits(adapted, gather(hidden, tensor(backend, at, [positions], 'i32')));
});
compare('logits', await rows.data());

/** Moves nothing: its state is the gradient. */
const recorder: Optimizer = {
  lr: 0,
  init: () => new Map(),
  update: (grads, _, params) => ({ params: copies(params), state: copies(grads) }),
};
const copies = (tensors: Params) => new Map([...tensors].map(([name, x]) => [name, mul(x, 1)]));
const { loss, state } = keep(
  update(
    {
      ...{ model, lora, optimizer: recorder, regularizers: [], maxGradNorm: null },
      ...{ checkpointActivations: 0, gradAccumulation: 1, seed: 0 },
    },
    { ...weights, state: new Map(), batches: [batch], step: 1, lr: 0 },
  ),
);
compare('loss', [await loss.item()]);
for (const name of flattenAdapters(adapter.params).keys()) {
  compare(name, await state.get(name)!.data(), peftName(name));
}

for (const [name, error] of told) console.log(`${error.toExponential(2)}  ${name}`);
const { peakBytes } = backend.stats;
console.log(
  `${options.dtype} weights, ${tokens} tokens, ${backend.description}: at most ${worst.toExponential(2)} off ` +
    `${stdout.trim()}; ${(peakBytes / 1e9).toFixed(2)} GB at the peak`,
);
await backend.close();
if (worst > Number(options.tolerance)) process.exitCode = 1;
