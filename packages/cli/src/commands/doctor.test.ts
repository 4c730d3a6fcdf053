import { languageIds, SandboxError, type Toolchain } from '@flex/judge';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { main } from '../main.ts';

const boxed = async () => ({ mode: 'bubblewrap' });
const sandbox = vi.hoisted((): { open: () => Promise<unknown> } => ({ open: async () => null }));
const adapter = vi.hoisted((): { found: unknown } => ({ found: null }));
vi.mock('@flex/tensor', async (original) => ({
  ...(await original<typeof import('@flex/tensor')>()),
  findAdapter: async () => adapter.found,
}));
vi.mock('../measure-device.ts', () => ({ measureDevice: async (device: string) => measured[device] }));
/** As on a machine without Racket. */
vi.mock('@flex/judge', async (original) => {
  const real = await original<typeof import('@flex/judge')>();
  const without = (tool: Toolchain) => ({ ...tool, version: null, missing: 'racket is not here' });
  return {
    ...real,
    openSandbox: () => sandbox.open(),
    allToolchains: async () =>
      (await real.allToolchains()).map((tool) => (tool.language === 'rkt' ? without(tool) : tool)),
  };
});

const unknown = { description: null, product_gflops: null, block_milliseconds: null };
const measured: Record<string, object> = {
  webgpu: { device: 'webgpu', missing: 'webgpu: no adapter', ...unknown },
  cpu: {
    device: 'cpu',
    missing: null,
    description: 'cpu (WebAssembly, 2 threads)',
    product_gflops: 41.27,
    block_milliseconds: 4.004,
  },
  gpujs: { device: 'gpujs', missing: null, description: 'gpu.js', product_gflops: 2, block_milliseconds: 90 },
};

afterEach(() => {
  vi.restoreAllMocks();
  adapter.found = null;
});

async function doctor(...args: string[]): Promise<{ code: number; stdout: string }> {
  let stdout = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    stdout += String(text);
    return true;
  });
  return { code: await main(['doctor', ...args]), stdout };
}

const refusal = 'sandbox: bubblewrap is not installed; install it with: apt-get install bubblewrap';

describe('doctor', () => {
  test('shows every device with its speed, or why it is not there, and what auto takes and why', async () => {
    sandbox.open = boxed;
    const { devices, auto } = JSON.parse((await doctor('--json')).stdout);
    expect(devices).toEqual([measured.webgpu, measured.cpu, measured.gpujs]);
    expect(auto).toEqual({ device: 'cpu', why: 'no WebGPU adapter was found' });
    const { stdout } = await doctor();
    const row = (name: string) => stdout.split('\n').find((line) => line.includes(` ${name} `));
    expect(row('webgpu')).toContain('webgpu: no adapter');
    expect(row('cpu')).toMatch(/ 41\.3 GFLOP\/s .* 4\.00 ms .* cpu \(WebAssembly, 2 threads\) /);
    expect(row('gpujs')).toMatch(/ 2\.00 GFLOP\/s .* 90\.0 ms .* gpu\.js /);
    expect(stdout).toContain('--device auto takes cpu: no WebGPU adapter was found');
  });

  test('a software adapter is no advice to use it', async () => {
    sandbox.open = boxed;
    expect(JSON.parse((await doctor('--json')).stdout).advice.at(-1)).toContain('nothing is missing');
    const [features, subgroupSizes, limits] = [['subgroups'], [8, 8], {}];
    adapter.found = { name: 'llvmpipe', driver: 'Mesa', software: true, features, subgroupSizes, limits };
    const { advice, auto } = JSON.parse((await doctor('--json')).stdout);
    expect(auto).toEqual({ device: 'cpu', why: 'llvmpipe is software, not a GPU' });
    expect(advice).toEqual(['This adapter is software, for tests: only --device webgpu takes it.']);
  });

  test('tells how programs are judged, language by language', async () => {
    sandbox.open = boxed;
    const { code, stdout } = await doctor('--json');
    expect(code).toBe(0);
    const { evaluation } = JSON.parse(stdout);
    expect(evaluation).toMatchObject({ sandbox: 'bubblewrap', refusal: null });
    expect(evaluation.languages.map(({ language }: { language: string }) => language)).toEqual(languageIds);
    for (const { version, missing, install } of evaluation.languages) {
      expect(version === null).toBe(missing !== null);
      expect(install).toMatch(/^apt-get install /);
    }
  });

  test('prints the version of each language, or what installs it', async () => {
    sandbox.open = boxed;
    const { evaluation } = JSON.parse((await doctor('--json')).stdout);
    const { code, stdout } = await doctor();
    expect(code).toBe(0);
    expect(stdout).toMatch(/\nevaluation\n.*sandbox .*bubblewrap /s);
    for (const { name, version, install } of evaluation.languages) {
      const row = stdout.split('\n').find((line) => line.includes(` ${name} `));
      expect(row).toContain(version ?? `none; ${install}`);
    }
    expect(stdout).toContain('none; apt-get install racket');
  });

  test('a machine without a safe sandbox is described, not refused', async () => {
    sandbox.open = () => Promise.reject(new SandboxError(refusal));
    const json = await doctor('--json');
    expect(json.code).toBe(0);
    expect(JSON.parse(json.stdout).evaluation).toMatchObject({ sandbox: null, refusal });
    const { code, stdout } = await doctor();
    expect(code).toBe(0);
    expect(stdout).toContain('bubblewrap is not installed');
  });

  test('an error of another kind is not taken for a refusal', async () => {
    vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    sandbox.open = () => Promise.reject(new Error('broken'));
    expect((await doctor('--json')).code).toBe(1);
  });
});
