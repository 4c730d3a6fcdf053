import { closeSync, ftruncateSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeAll } from '@flex/base';
import { readConfig } from '../config.ts';
import { weightShapes } from '../weights.ts';

/**
 * Writes a model directory that has everything but numbers: config.json, and weights in BF16 whose file is as
 * long as its header says and empty on the disk. It is inspected and planned as a real one is.
 */
export function shapeModel(dir: string, config: Readonly<Record<string, unknown>>): void {
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, 'config.json'), JSON.stringify({ torch_dtype: 'bfloat16', ...config }));
  const read = readConfig(dir);
  const header: Record<string, object> = {};
  let end = 0;
  for (const [name, shape] of weightShapes(read)) {
    if (read.tieWordEmbeddings && name === 'lm_head.weight') continue;
    const begin = end;
    end += shape.reduce((product, n) => product * n, 2);
    header[name] = { dtype: 'BF16', shape, data_offsets: [begin, end] };
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const file = openSync(join(dir, 'model.safetensors'), 'w');
  try {
    writeAll(file, length);
    writeAll(file, json);
    ftruncateSync(file, 8 + json.length + end);
  } finally {
    closeSync(file);
  }
}
