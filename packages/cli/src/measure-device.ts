import { valueAndGrad } from '@flex/autograd';
import {
  type Backend,
  DeviceError,
  matmul,
  normal,
  rmsNorm,
  scope,
  square,
  sum,
  swiglu,
  type Tensor,
  tensor,
} from '@flex/tensor';
import { openDevice } from './device.ts';
import type { DeviceName } from './device-names.ts';

/** A device as it is here; null for what is not known of one that cannot be opened. */
export interface MeasuredDevice {
  readonly device: DeviceName;
  readonly description: string | null;
  /** Why it cannot be opened; null for one that can. */
  readonly missing: string | null;
  /** 10⁹ operations a second in products of 512 × 512 matrices, f32. */
  readonly product_gflops: number | null;
  /** Of a feed-forward block, 512 tokens × 128, 384 inside, forward and backward. */
  readonly block_milliseconds: number | null;
}

/** Opens a device, measures it for a second or so, and closes it. One that is not there says why. */
export async function measureDevice(device: DeviceName): Promise<MeasuredDevice> {
  let backend: Backend;
  try {
    backend = await openDevice(device);
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error;
    const unknown = { description: null, product_gflops: null, block_milliseconds: null };
    return { device, missing: error.message, ...unknown };
  }
  try {
    return await measure(device, backend);
  } finally {
    await backend.close();
  }
}

async function measure(device: DeviceName, backend: Backend): Promise<MeasuredDevice> {
  const random = (...shape: [number, number]) =>
    tensor(backend, normal(shape[0] * shape[1], { key: [0, 0] }), shape);
  const [a, b] = [random(512, 512), random(512, 512)];
  const product = await secondsEach(backend, () => matmul(a, b));
  const x = random(512, 128);
  const ones = tensor(backend, new Float32Array(128).fill(1), [128]);
  const weights = { gate: random(128, 384), up: random(128, 384), down: random(384, 128) };
  const loss = ({ gate, up, down }: typeof weights): Tensor => {
    const normed = rmsNorm(x, ones, 1e-5);
    return sum(square(matmul(swiglu(matmul(normed, gate), matmul(normed, up)), down)));
  };
  const block = await secondsEach(backend, () => valueAndGrad(loss, weights));
  return {
    device,
    description: backend.description,
    missing: null,
    product_gflops: (2 * 512 ** 3) / product / 1e9,
    block_milliseconds: 1000 * block,
  };
}

/** Times that are long enough to be told from the clock's and the start's. */
const longEnough = 0.2;

/** Seconds that f takes, once it has been compiled: of so many in a row that they take `longEnough`. */
async function secondsEach(backend: Backend, f: () => unknown): Promise<number> {
  const seconds = async (times: number) => {
    const started = performance.now();
    for (let i = 0; i < times; i++) scope(() => void f());
    await backend.sync();
    return (performance.now() - started) / 1000;
  };
  await seconds(1);
  for (let times = 1; ; times *= 2) {
    const taken = await seconds(times);
    if (taken >= longEnough) return taken / times;
  }
}
