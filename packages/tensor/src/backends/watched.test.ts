import { expect, test } from 'vitest';
import { DeviceError } from '../errors.ts';
import { matmul } from '../ops/matmul.ts';
import { ones, scope, tensor } from '../tensor.ts';
import { openReference } from './reference.ts';
import { watched } from './watched.ts';

const never = () => new Promise<never>(() => {});
const reference = openReference();

test('a wait that never ends is ended, and everything after it is refused; closing asks nothing of the device', async () => {
  const hung = watched({ ...reference, read: never, sync: never, close: never }, { seconds: 0.05 });
  const x = tensor(hung, [1], [1]);
  const words = /^reference: the device has not answered for 1 seconds$/;
  await expect(x.data()).rejects.toThrow(DeviceError);
  await expect(x.data()).rejects.toThrow(words);
  await expect(hung.sync()).rejects.toThrow(words);
  expect(() => tensor(hung, [1], [1])).toThrow(words);
  expect(() => scope(() => matmul(x, x))).toThrow();
  await hung.close();
});

test('the more work is waited for, the longer a wait may be; work that was done does not count again', async () => {
  const late = (milliseconds: number) => new Promise<void>((done) => void setTimeout(done, milliseconds));
  const slow = () => watched({ ...reference, sync: () => late(300) }, { seconds: 0.1, flopsPerSecond: 8192 });
  const backend = slow();
  scope(() => matmul(ones(backend, [16, 16]), ones(backend, [16, 16])));
  await backend.sync();
  await expect(backend.sync()).rejects.toThrow(/has not answered/);
  await expect(slow().sync()).rejects.toThrow(/has not answered/);
});

test('what else goes wrong is told as it is, and ends nothing', async () => {
  let times = 0;
  const once = async () => {
    if (times++ === 0) throw new DeviceError('no');
  };
  const backend = watched({ ...reference, sync: once });
  await expect(backend.sync()).rejects.toThrow(/^no$/);
  await backend.sync();
  expect([...(await tensor(backend, [3], [1]).data())]).toEqual([3]);
});
