import type { Backend } from '../backend.ts';
import type { Kernel } from '../kernel-record.ts';
import type { AnyOp, WgslDevice } from '../op.ts';
import type { Spec } from '../shape.ts';
import { kernelOf } from './check-texts.ts';

/** Graphics cards, by the lanes of a subgroup; 0 where nobody knows. */
export const cards: readonly WgslDevice[] = [0, 32, 64].map((subgroupSize) => ({
  subgroupSize,
  software: false,
}));

let opened: Promise<GPUDevice> | undefined;
/** Dawn's entry, kept: Node aborts when it is collected. */
let dawn: GPU | undefined;

/** Dawn without a driver: it checks shaders, with all that the language has, and computes nothing. */
async function nullDevice(): Promise<GPUDevice> {
  const { create, globals } = await import('webgpu');
  Object.assign(globalThis, globals);
  dawn = create(['backend=null', 'enable-dawn-features=allow_unsafe_apis']);
  const adapter = await dawn.requestAdapter();
  if (!adapter) throw new Error('Dawn has no null backend');
  return adapter.requestDevice({ requiredFeatures: ['shader-f16', 'subgroups'] as GPUFeatureName[] });
}

/** Rejects, with the compiler's words, where the text of a kernel is no shader. */
export async function compileTexts(kernels: readonly Kernel[]): Promise<void> {
  opened ??= nullDevice();
  const device = await opened;
  for (const { key, text } of new Map(kernels.map((kernel) => [kernel.key, kernel])).values()) {
    device.pushErrorScope('validation');
    // Of shaders alone: pipelines of this device have fewer buffers and less memory than those of a card.
    device.createShaderModule({ code: text() });
    const error = await device.popErrorScope();
    if (error) throw new Error(`${key}: ${error.message}`);
  }
}

/** The same backend, and the kernels that it has chosen, as for the memory of inputs that are given up. */
export function kernelsOf<B extends Backend>(counting: B): { backend: B; kernels: Kernel[] } {
  const { counted } = counting;
  if (counted.memory !== 'pool') throw new Error(`${counting.name}: has no shaders`);
  const kernels: Kernel[] = [];
  const backend: B = {
    ...counting,
    run(op, inputs, outputs, attrs, taken) {
      const made = op.wgsl(inputs, outputs, attrs, counted.wgsl, taken);
      const donated = new Map(taken.flatMap((input, k) => (input < 0 ? [] : [[input, k]])));
      kernels.push({ ...made, key: `${op.name}: ${made.key} ${taken}`, text: () => made.text(donated) });
      return counting.run.call(this, op, inputs, outputs, attrs, taken);
    },
  };
  return { backend, kernels };
}

/** What an op has for a call on each of a few cards, most of which no machine at hand need be. */
export function kernelsOnCards(op: AnyOp, specs: readonly Spec[], attrs: object): Kernel[] {
  return cards.map((card) => kernelOf(op, { specs, attrs }, card));
}
