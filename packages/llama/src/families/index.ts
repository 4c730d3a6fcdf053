import type { Family } from './family.ts';
import { gemma } from './gemma.ts';
import { llama } from './llama.ts';
import { mistral } from './mistral.ts';
import { qwen2 } from './qwen2.ts';
import { qwen3 } from './qwen3.ts';
import { starcoder2 } from './starcoder2.ts';

export type { Architecture } from './family.ts';

const families = [llama, qwen2, qwen3, mistral, starcoder2, gemma] as unknown as readonly Family[];

/** The `model_type` of each family. */
export const modelTypes = families.map(({ modelType }) => modelType);

/** The family that `model_type` names; undefined for another. */
export const familyOf = (modelType: string): Family | undefined =>
  families.find((family) => family.modelType === modelType);
