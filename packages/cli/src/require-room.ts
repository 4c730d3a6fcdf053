import { byteText, ConfigError } from '@flex/base';
import {
  type DecodedTexts,
  decodingMemory,
  readConfig,
  unquantizable,
  type WeightStorage,
} from '@flex/llama';
import type { Backend } from '@flex/tensor';
import { describeAvailable } from '@flex/train';

/** What is decoded, and whether `--batch-size` says how many texts together. */
export interface Decoding extends DecodedTexts {
  readonly batched: boolean;
}

/**
 * Throws ConfigError where decoding takes more than the backend has, before anything is loaded: what it
 * takes, and of each option that would make it fit the first value that does.
 */
export async function requireRoom(
  { counted, memory }: Pick<Backend, 'counted' | 'memory'>,
  dir: string,
  storage: WeightStorage,
  { batched, ...texts }: Decoding,
): Promise<void> {
  const available = await memory();
  if (available === null) return;
  const { weights, cache, workspace, peak } = await decodingMemory(counted, dir, storage, texts);
  if (peak <= available.bytes) return;
  const fewer: [string, WeightStorage, DecodedTexts][] = [];
  for (let rows = texts.rows >> 1; batched && rows > 0; rows >>= 1)
    fewer.push([`--batch-size ${rows}`, storage, { ...texts, rows }]);
  const config = readConfig(dir);
  const half = storage.dtype === 'f32' || (storage.dtype === 'auto' && config.torchDtype === 'f32');
  const isWhole = !storage.quantize && unquantizable(config) === undefined;
  const kinds: (typeof fewer)[] = [
    fewer,
    half && !storage.quantize ? [['--dtype f16', { dtype: 'f16' }, texts]] : [],
    isWhole ? [['--quantize nf4', { ...storage, quantize: 'nf4' }, texts]] : [],
  ];
  const ways: string[] = [];
  for (const kind of kinds) {
    for (const [option, storage, texts] of kind) {
      const { peak } = await decodingMemory(counted, dir, storage, texts);
      if (peak > available.bytes) continue;
      ways.push(`${option} (${byteText(peak)})`);
      break;
    }
  }
  const help =
    ways.length > 0
      ? `it would fit with ${ways.join(', or ')}`
      : 'it needs fewer tokens or beams, a smaller model, or a device with more memory';
  const parts = `weights ${byteText(weights)}, keys and values ${byteText(cache)}, workspace ${byteText(workspace)}`;
  throw new ConfigError(
    `memory: decoding takes ${byteText(peak)}, and ${describeAvailable(available)} (${parts}); ${help}`,
  );
}
