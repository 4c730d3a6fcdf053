import { printable } from '@flex/base';
import { fourierOptions, peftName, readAdapterTensors, type Spectrum, spectrumOf } from '@flex/peft';
import { respellSection } from '@flex/train';
import chalk from 'chalk';
import { Command } from 'commander';
import { type CommonOptions, outputOf, withCommonOptions, withDevice } from '../context.ts';
import { openBackend } from '../device.ts';
import { newTable } from '../table.ts';

interface SpectrumCommandOptions extends CommonOptions {
  readonly adapter: string;
  readonly device: string;
  readonly norm: 'ortho' | 'backward' | 'mean';
  readonly threshold: number;
}

export function spectrumCommand(): Command {
  const command = new Command('spectrum')
    .description(
      "frequency content of an adapter's A and B: penalty, and shares of power below and above the threshold",
    )
    .requiredOption('--adapter <dir>', 'a PEFT adapter')
    .option('--norm <name>', 'scale of the transform: ortho, backward or mean', 'ortho')
    .option('--threshold <t>', 'share of the spectrum that counts as low', Number, 0.5);
  return withCommonOptions(withDevice(command)).action(run);
}

async function run({
  adapter: dir,
  device,
  norm,
  threshold,
  ...common
}: SpectrumCommandOptions): Promise<void> {
  const output = outputOf(common);
  const options = fourierOptions({ norm, threshold });
  const backend = await openBackend(device, output.note);
  const { params, warnings } = readAdapterTensors(backend, dir);
  for (const line of warnings) output.warn(line);
  const found = await spectrumOf(params, options);
  const spectra = new Map([...found].map(([name, spectrum]) => [peftName(name), spectrum]));
  const parameters = [...spectra].map(([name, { bins, penalty, below, above, bands }]) => ({
    name,
    bins,
    penalty,
    share_below: below,
    share_above: above,
    bands,
  }));
  const total = parameters.reduce((sum, p) => sum + p.penalty, 0);
  output.emit({ adapter: dir, options: respellSection(options), penalty: total, parameters });
  output.print(tableOf(spectra, threshold));
  output.print(`penalty of the whole adapter, before λ: ${total.toPrecision(6)} (norm ${norm})`);
  await backend.close();
}

function tableOf(spectra: ReadonlyMap<string, Spectrum>, threshold: number): string {
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const head = [
    'parameter',
    'bins',
    'penalty',
    `below ${threshold}`,
    `above ${threshold}`,
    'power by frequency',
  ];
  const table = newTable({
    head,
    colAligns: ['left', 'right', 'right', 'right', 'right'],
  });
  for (const [name, { bins, penalty, below, above, bands }] of spectra) {
    const short = name.replace(/^base_model\.model\.model\./, '').replace(/\.weight$/, '');
    table.push([
      printable(short),
      bins,
      penalty.toPrecision(4),
      percent(below),
      percent(above),
      chalk.cyan(sparkline(bands)),
    ]);
  }
  return table.toString();
}

/** The bands as blocks of growing height, the largest full. */
function sparkline(bands: readonly number[]): string {
  const largest = Math.max(...bands);
  const blocks = ' ▁▂▃▄▅▆▇█';
  return bands.map((share) => blocks[largest > 0 ? Math.ceil((8 * share) / largest) : 0]).join('');
}
