import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ConfigError, DataError, writeAtomic } from '@flex/base';
import { type Adapter, type FourierOptions, fourierOptions, peftName, readAdapterTensors } from '@flex/peft';
import type { Backend } from '@flex/tensor';
import { readManifest, readSpectra, respellSection, spectrumFile } from '@flex/train';
import { Command, Option } from 'commander';
import { oneAdapter } from '../adapter-option.ts';
import { type CommonOptions, type Output, outputOf, withCommonOptions, withDevice } from '../context.ts';
import { type DeviceOptions, openBackend } from '../device.ts';
import { fromHere } from '../from-here.ts';
import { draws, placeOf, shareAboveZero } from '../option-values.ts';
import {
  type AdapterSpectra,
  plainSpectra,
  recordedOptions,
  runOf,
  spectraOf,
  spectraOfDifference,
} from '../spectrum/adapter-spectra.ts';
import { adapterChart, runChart } from '../spectrum/spectrum-charts.ts';
import {
  differenceTables,
  type NamedSpectra,
  outside,
  parameterTable,
  productTable,
  runTable,
  totalsTable,
} from '../spectrum/spectrum-tables.ts';

interface SpectrumCommandOptions extends CommonOptions, DeviceOptions {
  readonly adapter?: string;
  readonly against?: string;
  readonly run?: string;
  readonly norm?: FourierOptions['norm'];
  readonly threshold?: number;
  readonly permutations?: number;
  readonly svg?: string;
}

export function spectrumCommand(): Command {
  const command = new Command('spectrum')
    .description(
      "frequency content of an adapter's A, B and s·B·A: penalty, power by frequency against that of permuted " +
        'indices, singular values; of one adapter, of two and their difference, of a run over time',
    )
    .option('--adapter <dir>', 'a PEFT adapter', oneAdapter)
    .option('--against <dir>', 'a second one: both, and the second less the first', oneAdapter)
    .option(
      '--run <dir>',
      "a run's folder, whose spectra training has kept (train.spectrum_every)",
      placeOf('file'),
    )
    .addOption(
      new Option('--norm <name>', "scale of the transform; its run's, else ortho").choices([
        'ortho',
        'backward',
        'mean',
      ]),
    )
    .option(
      '--threshold <t>',
      "share of the spectrum that counts as low; its run's, else 0.5",
      shareAboveZero,
    )
    .option('--permutations <n>', 'draws of the noise: 39, 79, 119 …, or 0 for none; default 39', draws)
    .option('--svg <file>', 'draw it', placeOf('output'));
  return withCommonOptions(withDevice(command)).action(run);
}

async function run(options: SpectrumCommandOptions): Promise<void> {
  const { adapter, against, norm, threshold, permutations, run } = options;
  const output = outputOf(options);
  if ((adapter === undefined) === (run === undefined)) {
    const both = adapter === undefined ? '' : ', not both';
    throw new ConfigError(`spectrum: give --adapter, or --run for a run over time${both}`);
  }
  if (options.svg !== undefined) requireWritable(options.svg);
  if (adapter !== undefined) return ofAdapters(adapter, options, output);
  const given = Object.entries({ against, norm, threshold, permutations }).find(
    ([, value]) => value !== undefined,
  );
  if (given)
    throw new ConfigError(`spectrum: --${given[0]} is for --adapter; --run shows what training kept`);
  ofRun(run!, options, output);
}

async function ofAdapters(
  dir: string,
  { against, device, threads, memory, norm, threshold, permutations = 39, svg }: SpectrumCommandOptions,
  output: Output,
): Promise<void> {
  const folder = runOf(dir);
  const penalty = optionsOf(folder, { norm, threshold, against }, output);
  const options = { ...penalty, permutations };
  const backend = await openBackend({ device, threads, memory }, output.note);
  const first = open(backend, dir, output);
  const second = against === undefined ? null : { dir: against, adapter: open(backend, against, output) };
  if (permutations > 0) output.note(`noise: ${permutations} permutations of the indices, seeds from 0`);
  const own = await spectraOf(first, backend, options);
  requireFinite(dir, own);
  const named = new Map([[against === undefined ? 'adapter' : 'first', own]]);
  if (second !== null) {
    const other = await spectraOf(second.adapter, backend, options);
    requireFinite(second.dir, other);
    named.set('second', other);
    named.set('difference', await spectraOfDifference(second.adapter, first, backend, options));
  }
  await backend.close();
  const [plain, other, difference] = [...named.values()].map(plainSpectra);
  output.emit({
    adapter: dir,
    run: folder,
    options: respellSection(penalty),
    permutations,
    ...plain,
    ...(other && { against: { adapter: against, ...other }, difference }),
  });
  printTables(named, penalty, output);
  output.print(
    `penalty of the whole adapter, before λ: ${plain.penalty.toPrecision(6)} (norm ${penalty.norm})`,
  );
  const title = against === undefined ? dir : `${dir} (first) and ${against} (second)`;
  if (svg !== undefined) draw(svg, adapterChart(`Spectrum of ${title}`, named, penalty), output);
}

function ofRun(dir: string, { svg }: SpectrumCommandOptions, output: Output): void {
  readManifest(dir);
  const file = join(dir, spectrumFile);
  const lines = existsSync(file) ? readSpectra(file) : [];
  if (lines.length === 0) {
    throw new DataError(`${file}: has no spectrum; training keeps one every train.spectrum_every updates`);
  }
  const options = recordedOptions(dir);
  output.emit({ run: dir, options: respellSection(options), spectra: lines });
  output.print(runTable(lines));
  output.print(
    `shares of power below T = ${options.threshold} of the spectrum; inputs and outputs are of s·B·A`,
  );
  if (svg !== undefined) draw(svg, runChart(`Spectrum of ${dir}`, lines, options.threshold), output);
}

/** The penalty's options: those given, over those of the run that the adapter is of, over the defaults. */
function optionsOf(
  run: string | null,
  { norm, threshold, against }: Pick<SpectrumCommandOptions, 'norm' | 'threshold' | 'against'>,
  output: Output,
): FourierOptions {
  const recorded = run === null ? fourierOptions() : recordedOptions(run);
  if (run !== null) output.note(`options of the penalty: those of the run in ${fromHere(run)}`);
  // A change is since a start that an adapter does not hold; two adapters are compared tensor by tensor.
  const isEach = recorded.scope === 'change' || against !== undefined;
  if (isEach && recorded.scope !== 'each') {
    output.warn(`the penalty of the run has scope ${recorded.scope}; what is shown is of each A and each B`);
  }
  return fourierOptions({
    ...recorded,
    scope: isEach ? 'each' : recorded.scope,
    ...(norm !== undefined && { norm }),
    ...(threshold !== undefined && { threshold }),
  });
}

function open(backend: Backend, dir: string, output: Output): Adapter {
  const adapter = readAdapterTensors(backend, dir);
  for (const line of adapter.warnings) output.warn(line);
  return adapter;
}

function requireFinite(dir: string, { parameters }: AdapterSpectra): void {
  const bad = [...parameters.each].find(([, { power }]) => !Number.isFinite(power));
  if (bad) throw new DataError(`${dir}: ${peftName(bad[0])} has numbers that are not finite`);
}

function printTables(named: NamedSpectra, { threshold }: FourierOptions, output: Output): void {
  const [own] = named.values();
  output.print(totalsTable(named));
  const tables = named.size > 1 ? differenceTables(named) : [parameterTable(own), productTable(own)];
  for (const table of tables) output.print(table);
  output.print(`below T: share of the power below ${threshold} of the spectrum`);
  const found = outside(own.parameters.each.values());
  if (found) {
    output.print(
      `* outside of what 95 % of permutations of the indices have: ${found.outside} of ${found.of} parameters; ` +
        `without any order ${(0.05 * found.of).toFixed(1)} would be`,
    );
  }
}

/** Throws ConfigError where no file can be written, before anything is computed. */
function requireWritable(file: string): void {
  const folder = dirname(file);
  if (!existsSync(folder)) throw new ConfigError(`--svg: there is no folder ${folder}`);
  if (file === '' || statSync(file, { throwIfNoEntry: false })?.isDirectory())
    throw new ConfigError(`--svg: must name a file, got ${JSON.stringify(file)}`);
}

function draw(file: string, chart: string, output: Output): void {
  writeAtomic(file, chart);
  output.note(`${file}: written`);
}
