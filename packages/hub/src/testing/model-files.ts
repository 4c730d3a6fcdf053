import { createHash } from 'node:crypto';

/** So many bytes, others for another text. */
export function bytesOf(text: string, length: number): Buffer {
  const pieces: Buffer[] = [];
  for (let i = 0; i * 32 < length; i++) pieces.push(createHash('sha256').update(`${text} ${i}`).digest());
  return Buffer.concat(pieces).subarray(0, length);
}

/** The files of a model of two shards, and others that nothing needs. */
export function modelFiles(shardBytes = 300_000): Map<string, Uint8Array> {
  const shards = [1, 2].map((n) => `model-0000${n}-of-00002.safetensors`);
  const map = Object.fromEntries(shards.map((shard, i) => [`model.layers.${i}.weight`, shard]));
  return new Map([
    ['README.md', Buffer.from('# A model\n')],
    ['config.json', Buffer.from('{"model_type": "llama"}\n')],
    ['model.safetensors.index.json', Buffer.from(JSON.stringify({ metadata: {}, weight_map: map }))],
    ...shards.map((shard) => [shard, bytesOf(shard, shardBytes)] as const),
    ['onnx/model.onnx', bytesOf('onnx', 5000)],
    ['pytorch_model.bin', bytesOf('bin', 5000)],
    ['tokenizer.json', bytesOf('tokenizer', 2000)],
  ]);
}
