import type { CausalLM } from '@flex/llama';
import {
  type Backend,
  type Culprit,
  culpritOf,
  eachTensor,
  examine,
  keep,
  nearestName,
  type Origin,
  scope,
  show,
  size,
  type Tensor,
} from '@flex/tensor';

/** The model's weights by what words call them. */
export const modelNames = ({ weights }: CausalLM): Named =>
  new Map([...weights].map(([name, t]) => [`the model's ${name}`, t]));

/** Tensors by the names that they have in words. */
export type Named = ReadonlyMap<string, Tensor>;

/**
 * What f gives is computed with every op looked at: null where all of it is finite, else the first of it that
 * is not, and which op made it so, in words.
 */
export async function wordsOf(backend: Backend, before: Named, f: () => Named): Promise<string | null> {
  const { value, originOf } = await examine(backend, before, () => keep(scope(f)));
  const results = [...value].map(([name, t]) => ({ name, origin: originOf(t) }));
  eachTensor(value, (t) => t.dispose());
  const [first] = results.filter(({ origin }) => origin.nan + origin.infinite > 0);
  const culprit = culpritOf(results.map(({ origin }) => origin));
  return culprit && `${first.name} is ${kindOf(first.origin)}: ${describe(culprit)}`;
}

const kindOf = ({ nan }: Origin): string => (nan > 0 ? 'NaN' : 'infinite');

function describe({ made, of }: Culprit): string {
  return `${maker(made, 'first')}${of ? `, from infinities: ${maker(of, 'these')}` : ''}`;
}

/** `op "log", of lora_A.weight, made the first: 3 of 64 numbers of f32[8, 8] are NaN`. */
function maker(one: Origin, which: 'first' | 'these'): string {
  const { op, name, spec, nan, infinite } = one;
  const count = `${nan + infinite} of ${size(spec.shape)} numbers of ${show(spec)} are ${kindOf(one)}`;
  if (op === null) return name === null ? `${count} as the host wrote them` : `${count} in ${name}`;
  const [, text, derivative] = /^(.*?)(\.d\d+)?$/.exec(op)!;
  const near = nearestName(one);
  const overflow = op === 'cast' && spec.dtype === 'f16' ? ', beyond 65504, the largest f16' : '';
  const made = which === 'first' ? 'made the first' : 'made them';
  return `${derivative ? 'the gradient of ' : ''}op "${text}"${near === null ? '' : `, of ${near},`} ${made}: ${count}${overflow}`;
}
