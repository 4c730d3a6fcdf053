import {
  type Adapters,
  type FourierOptions,
  fourierOptions,
  fourierPart,
  peftName,
  productSpectra,
  productsOf,
  resolveLora,
  type Spectrum,
  spectraOfAdapter,
  subtractProduct,
} from '@flex/peft';
import type { Callback, RunContext } from './callback.ts';
import type { TrainConfig } from './config.ts';
import type { Section } from './config-section.ts';
import { appendLine, readMetrics, rewindMetrics } from './metrics-log.ts';

/** The name of the file in a run's folder. */
export const spectrumFile = 'spectrum.jsonl';

/** A line of spectrum.jsonl: the adapter after an update, each number with 6 digits. */
export interface SpectrumLine {
  /** Updates done: 0 before the first. */
  readonly step: number;
  /** Of all A, all B, and all products along their inputs and outputs, the power of the modules added. */
  readonly totals: readonly (SharesLine & { readonly bands: readonly number[] })[];
  /** Of each A and each B, by PEFT's names. */
  readonly parameters: readonly SharesLine[];
  /** Of products s·B·A by module path, less what the adapter's start took out of the model. */
  readonly products: readonly {
    readonly name: string;
    readonly singular_values: readonly number[];
    readonly share_below_inputs: number;
    readonly share_below_outputs: number;
  }[];
}

interface SharesLine {
  readonly name: string;
  readonly power: number;
  readonly share_below: number;
}

/**
 * The options by which a run's spectra are measured: those of its first regularizer with the Fourier
 * penalty's, whose `options` are named as in TypeScript; the defaults where it has none.
 */
export function spectrumOptions(regularizers: readonly { readonly options: Section }[]): FourierOptions {
  const keys = Object.keys(fourierPart.schema.shape);
  const found = regularizers.find(({ options }) => 'threshold' in options);
  return fourierOptions(
    Object.fromEntries(Object.entries(found?.options ?? {}).filter(([key]) => keys.includes(key))),
  );
}

/**
 * The options by which a run's adapter is measured whatever its regularizers are, so that arms of an
 * experiment can be compared: `spectrumOptions` of those that are built in, with each A and B by itself.
 */
export function measureOf({ regularizer }: Pick<TrainConfig, 'regularizer'>): FourierOptions {
  const builtIn = regularizer.filter((part) => part.use === undefined);
  return { ...spectrumOptions(builtIn.map((options) => ({ options }))), scope: 'each' };
}

/**
 * Writes the adapter's spectrum before the first update, every `train.spectrum_every` updates and at the end
 * of the run: of each A and B, whatever scope the penalty has, and of what the model is changed by, which is
 * s·B·A less what `removed` took out of it. A run that goes on takes back later lines.
 */
export function spectrumLog(path: string, removed: Adapters | null): Callback {
  const write = async (run: RunContext) => appendLine(path, await lineOf(run, removed));
  const isDue = ({ config, step }: RunContext) => step % config.train.spectrumEvery === 0;
  return {
    async onStart(run) {
      rewindMetrics(path, run.step);
      if (run.step === 0 && isDue(run)) await write(run);
    },
    async onLine(run, { step, stopped }) {
      const isLast = step === run.info.steps || stopped !== undefined;
      if (isDue(run) || (isLast && run.config.train.spectrumEvery > 0)) await write(run);
    },
  };
}

/** The lines of a spectrum.jsonl. Throws DataError. */
export function readSpectra(path: string): SpectrumLine[] {
  return readMetrics(path) as SpectrumLine[];
}

async function lineOf(
  { config, model, lora, adapters, step }: RunContext,
  removed: Adapters | null,
): Promise<SpectrumLine> {
  const options = measureOf(config);
  const tensors = await spectraOfAdapter(adapters, options);
  const scales = resolveLora(lora, adapters);
  const [now, taken] = [await productsOf(adapters, scales), await productsOf(removed ?? new Map(), scales)];
  const products = new Map(
    [...now].map(([path, product]) => {
      const part = taken.get(path);
      return [path, part ? subtractProduct(product, part) : product];
    }),
  );
  const { inputs, outputs, singularValues } = await productSpectra(model.backend, products, options);
  const totals = [tensors, inputs, outputs].flatMap((set) => [...set.totals]);
  return {
    step,
    totals: totals.map(([name, one]) => ({ ...shares(name, one), bands: one.bands.map(short) })),
    parameters: [...tensors.each].map(([name, one]) => shares(peftName(name), one)),
    products: [...singularValues].map(([name, values]) => ({
      name,
      singular_values: values.map(short),
      share_below_inputs: short(inputs.each.get(name)!.below),
      share_below_outputs: short(outputs.each.get(name)!.below),
    })),
  };
}

function shares(name: string, { power, below }: Spectrum): SharesLine {
  return { name, power: short(power), share_below: short(below) };
}

function short(value: number): number {
  if (!Number.isFinite(value)) throw new Error("spectrum: a number of the adapter's spectrum is not finite");
  return Number(value.toPrecision(6));
}
