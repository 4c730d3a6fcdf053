// What is not a product, at the shapes of training, against PyTorch, tfjs and jax-js; with what part of the
// machine's copying each makes of the bytes that it must read and write.
// tsx pointwise.ts and the options of harness.ts
import { adamw } from '@flex/optim';
import { flattenAdapters } from '@flex/peft';
import {
  add,
  crossEntropy,
  dropout,
  eachTensor,
  exp,
  keep,
  mul,
  permute,
  rmsNorm,
  type Shape,
  scope,
  silu,
  size,
  softmax,
  type Tensor,
  tensor,
} from '@flex/tensor';
import { elementwise } from '@flex/tensor/kernel';
import { openDevice } from './device.ts';
import { bench, benchOptions, type Case } from './harness.ts';
import { copyOf, limitsOf } from './limits.ts';
import { freshAdapters, microOn } from './lora-update.ts';

const options = benchOptions({});
const backend = await openDevice(options);

const numbersOf = (shape: Shape) => Float32Array.from({ length: size(shape) }, () => Math.random() - 0.5);
const given = (shape: Shape) => tensor(backend, numbersOf(shape), shape);

const bytesOf = (...shapes: readonly Shape[]) => 4 * shapes.reduce((total, shape) => total + size(shape), 0);

/** `touched` are all tensors that are read or written. */
function pointwise(name: string, facts: Case['facts'], touched: readonly Shape[], run: Case['run']): Case {
  const work = () => ({ gigabytes_per_second: bytesOf(...touched) / 1e9 });
  const limit = copyOf(Math.max(...touched.map((shape) => bytesOf(shape))));
  return { name, facts, work, limit, run };
}

/** An op of tensors of its result's shape, and smaller ones that do not count. */
function op(name: string, shape: Shape, arity: number, compute: (...tensors: Tensor[]) => Tensor): Case {
  const tensors = Array.from({ length: arity }, () => given(shape));
  const touched = Array.from({ length: arity + 1 }, () => shape);
  return pointwise(`${name} [${shape}]`, { op: name, shape }, touched, async (count) => {
    for (let i = 0; i < count; i++) scope(() => void compute(...tensors));
    await backend.sync();
  });
}

const mulAdd = elementwise('mulAdd', (x, y, z) => add(mul(x, y), z));

function norm(rows: number, width: number): Case {
  const weight = given([width]);
  return op('rmsNorm', [rows, width], 1, (x) => rmsNorm(x, weight, 1e-5));
}

function loss(rows: number, classes: number): Case {
  const [logits, labels] = [given([rows, classes]), new Int32Array(rows).map((_, i) => (i * 7919) % classes)];
  const ids = tensor(backend, labels, [rows], 'i32');
  const facts = { op: 'crossEntropy', shape: [rows, classes] };
  return pointwise(`crossEntropy [${rows},${classes}]`, facts, [logits.shape], async (count) => {
    for (let i = 0; i < count; i++) scope(() => void crossEntropy(logits, ids));
    await backend.sync();
  });
}

/** Parameters are read and written, and so are both means; gradients are read. */
async function optimizer(): Promise<Case> {
  const params = flattenAdapters(freshAdapters(await microOn(backend)));
  const shapes = [...params.values()].map(({ shape }) => shape);
  const grads = new Map([...params].map(([name, { shape }]) => [name, given(shape)]));
  const { init, update } = adamw();
  let [state, step] = [init(params), 0];
  const touched = shapes.flatMap((shape) => Array.from({ length: 7 }, () => shape));
  return pointwise('AdamW, micro’s adapters', { op: 'adamw', shapes }, touched, async (count) => {
    for (let i = 0; i < count; i++) {
      const after = keep(update(grads, state, params, { step: ++step, lr: 2e-4 }));
      eachTensor([after.params, state], (x) => x.dispose());
      state = after.state;
    }
    await backend.sync();
  });
}

const shapes = [
  [512, 128],
  [4096, 1024],
] as const;
const key = [1, 2] as const;

await bench(options, {
  name: `pointwise-${options.device}`,
  what: `FLeX, ${backend.description}`,
  cases: [
    ...shapes.flatMap((shape) => [
      op('scale', shape, 1, (x) => mul(x, 2)),
      op('add', shape, 2, add),
      op('mulAdd', shape, 3, mulAdd),
      op('exp', shape, 1, exp),
      op('silu', shape, 1, silu),
      op('permute', shape, 1, (x) => permute(x, [1, 0])),
      op('dropout', shape, 1, (x) => dropout(x, { rate: 0.05, key, counter: [0, 0] })),
    ]),
    op('softmax', [2048, 128], 1, softmax),
    norm(512, 128),
    norm(512, 4096),
    loss(512, 2048),
    await optimizer(),
  ],
  limits: limitsOf(options),
  warmUps: 2,
  rounds: 7,
  roundMs: 20,
  peers: [['pointwise.py'], ['js/tfjs.mjs'], ['js/tfjs.mjs', 'threads'], ['js/jax.mjs', 'threads']],
});
await backend.close();
