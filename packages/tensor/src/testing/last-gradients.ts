import { type Recorder, type Tensor, withRecorder } from '../tensor.ts';

/** What the last op of f gives its inputs as gradient for g = d(loss)/d(output), null where there is none. */
export async function lastGradients(f: () => Tensor, g: Tensor): Promise<(number[] | null)[]> {
  const steps: Parameters<Recorder['record']>[] = [];
  withRecorder({ record: (...step) => void steps.push(step) }, f);
  const step = steps.at(-1);
  if (!step) throw new Error('f ran no op');
  const [op, inputs, outputs, attrs] = step;
  if (typeof op.vjp !== 'function') throw new Error(`${op.name} has no gradient of its own`);
  const wanted = inputs.map(() => true);
  const thunks = op.vjp([g], inputs, outputs, attrs, wanted);
  return Promise.all(thunks.map(async (thunk) => thunk && Array.from(await thunk()!.data())));
}
