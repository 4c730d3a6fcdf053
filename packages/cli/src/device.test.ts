import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { chooseDevice, openBackend } from './device.ts';
import { flex } from './testing/flex.ts';

const gpu = { name: 'NVIDIA H100', software: false };
const rasteriser = { name: 'llvmpipe', software: true };
const noSimd = 'WebAssembly has no SIMD here';

describe('auto takes', () => {
  test.each([
    ['webgpu on a GPU', gpu, null, 'webgpu', 'a GPU was found'],
    ['webgpu on a GPU also without WebAssembly', gpu, noSimd, 'webgpu', 'a GPU was found'],
    ['cpu before software Vulkan', rasteriser, null, 'cpu', 'llvmpipe is software, not a GPU'],
    ['cpu without an adapter', null, null, 'cpu', 'no WebGPU adapter was found'],
    [
      'gpujs before software Vulkan',
      rasteriser,
      noSimd,
      'gpujs',
      `llvmpipe is software, not a GPU, and ${noSimd}`,
    ],
    ['gpujs without either', null, noSimd, 'gpujs', `no WebGPU adapter was found, and ${noSimd}`],
  ])('%s', (_, adapter, noWasm, device, why) => {
    expect(chooseDevice(adapter, noWasm)).toEqual({ device, why });
  });
});

const generate = ['generate', '--model', join(import.meta.dirname, '../assets/micro'), '--ids', '1,5'];
const short = [...generate, '--max-new-tokens', '2', '--json'];

test('a device that is named is opened and not commented on', async () => {
  const said: string[] = [];
  const names: string[] = [];
  for (const device of ['cpu', 'gpujs']) {
    const backend = await openBackend({ device }, (line) => said.push(line));
    names.push(backend.name);
    await backend.close();
  }
  expect(names).toEqual(['wasm', 'gpujs']);
  expect(said).toEqual([]);
});

test('the tokens are the same on one thread, on three and on gpu.js', async () => {
  const texts = new Set<string>();
  for (const device of [['cpu', '--threads', '1'], ['cpu', '--threads', '3'], ['gpujs']]) {
    const { code, stdout, stderr } = await flex(...short, '--device', ...device);
    expect(code, stderr).toBe(0);
    texts.add(stdout);
  }
  expect(texts.size).toBe(1);
});

test.each<[string[], RegExp]>([
  [['--device', 'gpu'], / argument 'gpu' is invalid\. Allowed choices are auto, webgpu, cpu, gpujs\.$/],
  [['--device', 'gpujs', '--threads', '2'], /^flex: --threads: belongs to --device cpu, and this is gpujs$/],
  ...['0', '257', 'two', '1.5'].map((n): [string[], RegExp] => [
    ['--threads', n],
    / argument '.*' is invalid\. It must be a whole number from 1 to 256\.$/,
  ]),
])('%j is refused in a line with exit code 2', async (args, line) => {
  const { code, stdout, stderr } = await flex(...short, ...args);
  expect(code).toBe(2);
  expect(JSON.parse(stdout)).toEqual({
    error: { message: stderr.trim().slice(6), kind: expect.any(String), exit_code: 2 },
  });
  expect(stderr.trim()).toMatch(line);
});

test('without WebAssembly auto takes gpu.js and says why, and cpu is refused', async () => {
  const bin = join(import.meta.dirname, '../bin/flex.mjs');
  const withDevice = (device: string) =>
    promisify(execFile)(process.execPath, ['--jitless', bin, ...short, '--device', device]).catch(
      (error: { code: number; stderr: string }) => error,
    );
  const [auto, cpu] = await Promise.all([withDevice('auto'), withDevice('cpu')]);
  expect(auto.stderr).toMatch(
    /device: gpu\.js \(cpu, no GPU\): .* and this JavaScript engine has no WebAssembly/,
  );
  expect(auto).not.toHaveProperty('code');
  expect(cpu).toHaveProperty('code', 1);
  expect(cpu.stderr).toContain('flex: cpu: this JavaScript engine has no WebAssembly; take --device gpujs');
});
