import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { freemem } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { AdapterInfo } from './webgpu/adapter-info.ts';

/** How much tensors may take in all. */
export interface DeviceMemory {
  readonly bytes: number;
  /** Whose word that is: `nvidia-smi`, `main memory`, `WebAssembly`, `--memory`. */
  readonly of: string;
}

/** The smallest of what is known; null where nothing is. */
export function leastMemory(...known: readonly (DeviceMemory | null)[]): DeviceMemory | null {
  return known.reduce((a, b) => (a === null || (b !== null && b.bytes < a.bytes) ? b : a), null);
}

/** What a process may still have of main memory. */
export function mainMemory(): DeviceMemory {
  // Within the limit of a container; older Node tells of the machine alone.
  const bytes = process.availableMemory?.() ?? freemem();
  return { bytes, of: 'main memory' };
}

type Adapter = Pick<AdapterInfo, 'vendor' | 'name' | 'software'>;

/** What is free of an adapter's memory, which WebGPU does not tell: null where nobody else does. */
export async function adapterMemory(adapter: Adapter): Promise<DeviceMemory | null> {
  if (adapter.software || adapter.vendor === 'apple') return mainMemory();
  if (adapter.vendor === 'nvidia') return nvidiaMemory(await askNvidia(), adapter.name);
  if (adapter.vendor === 'amd') return amdMemory('/sys/class/drm');
  return null;
}

/** The rows of nvidia-smi; '' where it is not there or fails. */
async function askNvidia(): Promise<string> {
  const query = ['--query-gpu=name,memory.free', '--format=csv,noheader,nounits'];
  return promisify(execFile)('nvidia-smi', query, { timeout: 5000 }).then(
    ({ stdout }) => stdout,
    () => '',
  );
}

/** The least free memory among the cards of a name, in rows `name, MiB` of nvidia-smi. */
export function nvidiaMemory(rows: string, name: string): DeviceMemory | null {
  const cards = rows.split('\n').flatMap((row) => {
    const [, card, mib] = /^(.+), *(\d+)$/.exec(row.trim()) ?? [];
    return card === undefined ? [] : [{ card, bytes: Number(mib) * 2 ** 20, of: 'nvidia-smi' }];
  });
  return leastMemory(...cards.filter(({ card }) => card === name).map(({ bytes, of }) => ({ bytes, of })));
}

/** The free memory of AMD's card that has the most, which WebGPU takes, as the kernel's files tell it. */
export function amdMemory(folder: string): DeviceMemory | null {
  const names = existsSync(folder) ? readdirSync(folder) : [];
  const free = names.flatMap((name) => {
    const [total, used] = ['total', 'used'].map((what) =>
      join(folder, name, 'device', `mem_info_vram_${what}`),
    );
    return existsSync(total) && existsSync(used)
      ? [Number(readFileSync(total, 'utf8')) - Number(readFileSync(used, 'utf8'))]
      : [];
  });
  return free.length > 0 ? { bytes: Math.max(...free), of: 'amdgpu' } : null;
}
