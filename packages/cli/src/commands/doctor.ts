import { availableParallelism, cpus, totalmem } from 'node:os';
import { byteText } from '@flex/base';
import { allToolchains, openSandbox, SandboxError, type Toolchain } from '@flex/judge';
import { type AdapterInfo, findAdapter, whyNoWasm } from '@flex/tensor';
import { Command } from 'commander';
import { type CommonOptions, outputOf, withCommonOptions } from '../context.ts';
import { chooseDevice } from '../device.ts';
import { devices } from '../device-names.ts';
import { type MeasuredDevice, measureDevice } from '../measure-device.ts';
import { newTable } from '../table.ts';
import { chalk } from '../terminal.ts';

/** Limits that decide which tensors fit. */
const shownLimits = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
] as const;

export function doctorCommand(): Command {
  const command = new Command('doctor').description(
    'what this machine can do, and how to mend what it cannot',
  );
  return withCommonOptions(command).action(run);
}

async function run(options: CommonOptions): Promise<void> {
  const output = outputOf(options);
  const info = await findAdapter();
  const evaluation = await lookAtEvaluation();
  const measured: MeasuredDevice[] = [];
  for (const device of devices) measured.push(await measureDevice(device));
  const auto = chooseDevice(info, whyNoWasm());
  const advice = adviceFor(info);
  const machine = {
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memory_bytes: totalmem(),
  };
  output.emit({ machine, adapter: info, devices: measured, auto, advice, evaluation });
  const table = newTable();
  table.push(
    ['Node', machine.node],
    ['platform', machine.platform],
    ['processor', `${machine.cpu}, ${machine.cores} cores`],
  );
  table.push(['memory', byteText(machine.memory_bytes)]);
  if (info) {
    table.push(
      ['WebGPU adapter', `${info.name}${info.software ? ' (software)' : ''}`],
      ['driver', info.driver],
    );
    table.push(['subgroup sizes', info.subgroupSizes.join(' to ')]);
    for (const name of shownLimits) table.push([name, showLimit(info.limits[name])]);
  } else {
    table.push(['WebGPU adapter', chalk.yellow('none')]);
  }
  output.print(table.toString());
  if (info) output.print(`features: ${info.features.join(', ')}`);
  output.print(devicesTable(measured));
  output.print('products of 512 × 512 matrices; a feed-forward block of 512 tokens, forward and backward');
  output.print(`--device auto takes ${auto.device}: ${auto.why}`);
  for (const line of advice) output.print(line);
  output.print('\nevaluation');
  output.print(evaluationTable(evaluation));
}

/** A row a device: its speed, or why it is not there. */
function devicesTable(measured: readonly MeasuredDevice[]): string {
  const table = newTable({
    head: ['--device', 'products', 'block', ''],
    colAligns: ['left', 'right', 'right', 'left'],
  });
  for (const { device, description, missing, product_gflops, block_milliseconds } of measured) {
    const gflops = product_gflops === null ? '' : `${product_gflops.toPrecision(3)} GFLOP/s`;
    const block = block_milliseconds === null ? '' : `${block_milliseconds.toPrecision(3)} ms`;
    table.push([device, gflops, block, missing === null ? description! : chalk.yellow(missing)]);
  }
  return table.toString();
}

/** What judging programs needs. */
interface Evaluation {
  /** How programs are boxed; null where they cannot be, and then why. */
  readonly sandbox: string | null;
  readonly refusal: string | null;
  readonly languages: readonly Toolchain[];
}

async function lookAtEvaluation(): Promise<Evaluation> {
  const refused = (error: unknown) => {
    if (error instanceof SandboxError) return { sandbox: null, refusal: error.message };
    throw error;
  };
  const [box, languages] = await Promise.all([
    openSandbox().then(({ mode }) => ({ sandbox: mode, refusal: null }), refused),
    allToolchains(),
  ]);
  return { ...box, languages };
}

function evaluationTable({ sandbox, refusal, languages }: Evaluation): string {
  const table = newTable();
  table.push(['sandbox', sandbox ?? chalk.yellow((refusal ?? '').replace(/^sandbox: /, ''))]);
  for (const { name, version, install } of languages) {
    table.push([name, version ?? chalk.yellow(`none; ${install}`)]);
  }
  return table.toString();
}

/** What to install or expect, a line each. */
function adviceFor(info: AdapterInfo | null): string[] {
  if (!info) {
    return [
      'To use a GPU, install its Vulkan driver (Linux), or run on macOS (Metal) or Windows (D3D12).',
      'NVIDIA: the driver package with its Vulkan part. AMD and Intel: mesa-vulkan-drivers, version 24 or later.',
      'Without a GPU nothing is missing; software Vulkan is for tests (scripts/install-software-vulkan.sh).',
    ];
  }
  const lines: string[] = [];
  if (info.software) lines.push('This adapter is software, for tests: only --device webgpu takes it.');
  if (!info.features.includes('subgroups'))
    lines.push('No subgroup operations: the slower portable kernels run.');
  return lines;
}

const showLimit = (value: number) => (value >= 2 ** 20 ? `${byteText(value)} (${value} bytes)` : `${value}`);
