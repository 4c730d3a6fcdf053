import { dirname, resolve } from 'node:path';
import { ConfigError, DataError } from '@flex/base';
import {
  type Adapter,
  type Adapters,
  type FourierOptions,
  type LowRankProduct,
  type ProductSpectra,
  peftName,
  productSpectra,
  productsOf,
  resolveLora,
  type Spectrum,
  type SpectrumOptions,
  type SpectrumSet,
  spectraOfAdapter,
  subtractProduct,
} from '@flex/peft';
import type { Backend } from '@flex/tensor';
import { holdsRun, readManifest, respellSection, type Section, spectrumOptions } from '@flex/train';

/** The spectra of an adapter, or of the difference of two. */
export interface AdapterSpectra {
  readonly parameters: SpectrumSet;
  readonly products: ProductSpectra;
}

export async function spectraOf(
  { params, config }: Adapter,
  backend: Backend,
  options: SpectrumOptions,
): Promise<AdapterSpectra> {
  const products = await productsOf(params, resolveLora(config, params));
  return {
    parameters: await spectraOfAdapter(params, options),
    products: await productSpectra(backend, products, options),
  };
}

/**
 * The spectra of `later` less `earlier`: of each A and each B that has one shape in both, and of each s·B·A whose
 * module has one size. Throws ConfigError where no module has.
 */
export async function spectraOfDifference(
  later: Adapter,
  earlier: Adapter,
  backend: Backend,
  options: SpectrumOptions,
): Promise<AdapterSpectra> {
  const shared = [...later.params.keys()].filter((path) => earlier.params.has(path));
  const shapesOf = ({ params }: Adapter, path: string) =>
    [params.get(path)!.a.shape, params.get(path)!.b.shape].join(' ');
  const alike = shared.filter((path) => shapesOf(later, path) === shapesOf(earlier, path));
  const sizeOf = ({ a, b }: LowRankProduct) => `${a[0].length} ${b[0].length}`;
  const [after, before] = await Promise.all(
    [later, earlier].map(({ params, config }) => productsOf(params, resolveLora(config, params))),
  );
  const differences = shared
    .filter((path) => sizeOf(after.get(path)!) === sizeOf(before.get(path)!))
    .map((path) => [path, subtractProduct(after.get(path)!, before.get(path)!)] as const);
  if (differences.length === 0) throw new ConfigError('--against: the two adapters have no module in common');
  const of = ({ params }: Adapter): Adapters => new Map(alike.map((path) => [path, params.get(path)!]));
  return {
    parameters:
      alike.length === 0
        ? { each: new Map(), totals: new Map() }
        : await spectraOfAdapter(of(later), { ...options, scope: 'change' }, of(earlier)),
    products: await productSpectra(backend, new Map(differences), options),
  };
}

/** The run whose folder an adapter lies in, as its own or a checkpoint's; else null. */
export function runOf(adapter: string): string | null {
  const folders = [dirname(resolve(adapter)), resolve(adapter, '../../..')];
  return folders.find(holdsRun) ?? null;
}

/** The options that a run's penalty has, as its manifest records them. Throws DataError for another file. */
export function recordedOptions(run: string): FourierOptions {
  const { protocol } = readManifest(run);
  try {
    const { regularizers } = protocol as { regularizers: { options: Section }[] };
    return spectrumOptions(regularizers.map(({ options }) => ({ options: respellSection(options) })));
  } catch (cause) {
    const why = (cause as Error).message;
    throw new DataError(`${run}/manifest.json: protocol.regularizers says no penalty: ${why}`, { cause });
  }
}

/** The spectra with the names of files. */
export function plainSpectra({ parameters, products }: AdapterSpectra) {
  const { inputs, outputs, singularValues } = products;
  const each = [...parameters.each].map(([name, one]) => plainSpectrum(peftName(name), one));
  return {
    penalty: each.reduce((sum, { penalty }) => sum + penalty, 0),
    parameters: each,
    products: [...singularValues].map(([name, values]) => ({
      name,
      singular_values: values,
      inputs: plainSpectrum('inputs', inputs.each.get(name)!),
      outputs: plainSpectrum('outputs', outputs.each.get(name)!),
    })),
    totals: totalsOf({ parameters, products }).map(([name, one]) => plainSpectrum(name, one)),
  };
}

function plainSpectrum(name: string, { below, above, ...one }: Spectrum) {
  return { name, ...one, share_below: below, share_above: above };
}

/** All A, all B, and all s·B·A along their inputs and outputs. */
export function totalsOf({ parameters, products }: AdapterSpectra): [name: string, Spectrum][] {
  return [parameters, products.inputs, products.outputs].flatMap(({ totals }) => [...totals]);
}

/** What people call them: s·B·A by frequency along its inputs and its outputs. */
export const totalNames: Readonly<Record<string, string>> = {
  inputs: 's·B·A, inputs',
  outputs: 's·B·A, outputs',
};
