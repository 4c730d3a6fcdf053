import { byteText, ConfigError } from '@flex/base';
import { readConfig, unquantizable } from '@flex/llama';
import type { Backend, DeviceMemory } from '@flex/tensor';
import type { TrainConfig } from './config.ts';
import type { Plan } from './data/batches.ts';
import type { DataSet } from './data/data-set.ts';
import { dryRun, type MemoryUse } from './dry-run.ts';
import { cropped, type LargestBatches, largestBatches } from './largest-batches.ts';

/** What a run takes of its device, and what there is. */
export interface MemoryPlan extends MemoryUse {
  /** Null: nobody tells. */
  readonly available: DeviceMemory | null;
  /** Layers that are computed again in the backward pass, and of how many. */
  readonly recomputed: number;
  readonly layers: number;
  /** For a run that cannot fit, changes of its configuration with each of which it would. */
  readonly ways: readonly MemoryWay[];
}

/** Keys with other values, such as `train.batch_size=2`, and the peak with them. */
export interface MemoryWay {
  readonly keys: readonly string[];
  readonly peak: number;
}

/** What a run's memory follows from besides its configuration. */
export interface PlannedData {
  readonly data: DataSet;
  readonly heldOut: readonly DataSet[];
  readonly plan: Plan;
}

/** Of what there is, the share that `auto` fills: the rest is for what no plan knows of. */
const share = 0.95;
/** Bytes of activations that `auto` keeps where nobody tells what there is. */
const assumed = 4 * 2 ** 30;
/** Shorter rows than these are no advice. */
const fewestTokens = 16;

/**
 * The memory of a run on a backend of which nothing is used yet, by dry runs. `checkpoint_activations: auto`
 * has the fewest layers computed again with which the run fits; one that goes on keeps the number `before`
 * that it had, unless it does not fit with it.
 */
export async function planMemory(
  config: TrainConfig,
  data: PlannedData,
  backend: Pick<Backend, 'counted' | 'memory'>,
  before?: number,
): Promise<MemoryPlan> {
  const { layers } = readConfig(config.model);
  const available = await backend.memory();
  const largest = largestBatches(config, data);
  const dry = (recomputed: number) => dryRun(config, backend.counted, largest, recomputed);
  const fits = ({ peak }: MemoryUse) => available === null || peak <= available.bytes;
  const given = layersOf(config, layers);
  const fixed = given ?? before;
  const kept = fixed === undefined ? null : { recomputed: fixed, use: await dry(fixed) };
  const { recomputed, use } =
    kept && (given !== undefined || fits(kept.use)) ? kept : await fewest(dry, layers, available);
  const plan = { ...use, available, recomputed, layers };
  if (fits(use)) return { ...plan, ways: [] };
  return { ...plan, ways: await waysToFit(config, largest, plan, backend) };
}

/** The number of layers that a configuration has computed again; undefined: `auto`. */
function layersOf({ train }: TrainConfig, layers: number): number | undefined {
  const { checkpointActivations: wanted } = train;
  if (wanted === 'auto') return undefined;
  return typeof wanted === 'number' ? Math.min(wanted, layers) : wanted ? layers : 0;
}

/** Of so many layers the fewest with which a run fits, and what it takes then; all where none do. */
async function fewest(
  dry: (recomputed: number) => Promise<MemoryUse>,
  layers: number,
  available: DeviceMemory | null,
): Promise<{ readonly recomputed: number; readonly use: MemoryUse }> {
  const excess = ({ reserved, activations }: MemoryUse) =>
    available === null ? activations - assumed : reserved - share * available.bytes;
  const none = { recomputed: 0, use: await dry(0) };
  if (excess(none.use) <= 0) return none;
  let found = { recomputed: layers, use: await dry(layers) };
  // Where an evaluation is what does not fit, no layer helps.
  if (excess(found.use) > 0) return found.use.peak < none.use.peak ? found : none;
  let over = none;
  while (found.recomputed - over.recomputed > 1) {
    // Nearly a line lies between two of them.
    const [above, below] = [excess(over.use), -excess(found.use)];
    const between = found.recomputed - over.recomputed;
    const guess = Math.min(between - 1, Math.max(1, Math.ceil((between * above) / (above + below))));
    const recomputed = over.recomputed + guess;
    const tried = { recomputed, use: await dry(recomputed) };
    if (excess(tried.use) > 0) over = tried;
    else found = tried;
  }
  return found;
}

/** A configuration with some keys changed, as a dry run takes it. */
interface Change {
  readonly keys: readonly string[];
  readonly config: TrainConfig;
  readonly batches: LargestBatches;
}

/** Of each kind of change the smallest with which a run fits. */
async function waysToFit(
  config: TrainConfig,
  largest: LargestBatches,
  { recomputed, layers, ...use }: Omit<MemoryPlan, 'ways'>,
  { counted }: Pick<Backend, 'counted'>,
): Promise<MemoryWay[]> {
  const { bytes } = use.available!;
  const isFixed = config.train.checkpointActivations !== 'auto';
  const again =
    isFixed && recomputed < layers && use.update > bytes ? ['train.checkpoint_activations=auto'] : [];
  const smaller = (key: string, change: Partial<Pick<TrainConfig, 'dtype' | 'quantize'>>): Change[] => [
    { keys: [key], config: { ...config, ...change }, batches: largest },
  ];
  const ofWeights = [
    config.dtype === 'f32' && config.quantize === null ? smaller('dtype=f16', { dtype: 'f16' }) : [],
    config.quantize === null && unquantizable(readConfig(config.model)) === undefined
      ? smaller('model.quantize=nf4', { quantize: 'nf4' })
      : [],
  ];
  const kinds: Iterable<Change>[] =
    use.weights + use.adapter + use.optimizer > bytes
      ? ofWeights
      : [
          again.length > 0 ? [{ keys: [], config, batches: largest }] : [],
          fewerRows(config, largest),
          shorterRows(config, largest, [use.update > bytes, use.evaluation > bytes]),
          ...ofWeights,
        ];
  const ways: MemoryWay[] = [];
  for (const changes of kinds) {
    for (const { keys, config, batches } of changes) {
      const { peak } = await dryRun(config, counted, batches, again.length > 0 ? layers : recomputed);
      if (peak > bytes) continue;
      ways.push({ keys: [...keys, ...again], peak });
      break;
    }
  }
  return ways;
}

function* fewerRows(config: TrainConfig, { training, heldOut, uncut }: LargestBatches): Generator<Change> {
  const { batchSize, gradAccumulation } = config.train;
  for (let b = batchSize >> 1; b > 0; b >>= 1) {
    const accumulation = Math.ceil((batchSize * gradAccumulation) / b);
    yield {
      keys: [`train.batch_size=${b}`, `train.grad_accumulation=${accumulation}`],
      config,
      batches: {
        training: cropped(training, b, training.t),
        uncut,
        accumulated: true,
        heldOut: heldOut && { ...heldOut, batch: cropped(heldOut.batch, b, heldOut.batch.t) },
      },
    };
  }
}

/** Shorter rows of training data, and of held-out data where an evaluation does not fit either. */
function* shorterRows(
  config: TrainConfig,
  { training, heldOut, ...rest }: LargestBatches,
  [updates, evaluates]: readonly [boolean, boolean],
): Generator<Change> {
  const held = evaluates ? heldOut : null;
  const longest = Math.max(updates ? training.t : 0, held?.batch.t ?? 0);
  const least = Math.max(fewestTokens, updates ? rest.uncut : 0, held?.uncut ?? 0);
  for (let t = longest >> 1; t >= least; t >>= 1) {
    yield {
      keys: [
        ...(updates && t < training.t ? [`data.max_length=${t}`] : []),
        ...(held && t < held.batch.t ? [`eval.${held.place}.max_length=${t}`] : []),
      ],
      config,
      batches: {
        ...rest,
        training: updates ? cropped(training, training.b, t) : training,
        heldOut: held ? { ...held, batch: cropped(held.batch, held.batch.b, t) } : heldOut,
      },
    };
  }
}

/** Throws ConfigError, which says what would help, for a run that takes more than there is. */
export function requireFit(plan: MemoryPlan): void {
  const { available, peak, evaluation, ways } = plan;
  if (available === null || peak <= available.bytes) return;
  const what = peak === evaluation ? 'an evaluation' : 'an update';
  const means = ways.map(({ keys, peak }) => `${keys.join(' ')} (${byteText(peak)})`);
  const help =
    means.length > 0
      ? `it would fit with ${means.join(', or ')}`
      : 'fewer or shorter rows do not help: it needs a smaller model, or a device with more memory';
  throw new ConfigError(
    `memory: ${what} takes ${byteText(peak)}, and ${describeAvailable(available)} (${describeParts(plan)}); ${help}`,
  );
}

/** A line of what a run takes and what there is. */
export function describeMemory(plan: MemoryPlan): string {
  const { available, peak, recomputed, layers } = plan;
  const there = available === null ? 'nobody tells how much there is' : describeAvailable(available);
  const again = recomputed > 0 ? `; ${recomputed} of ${layers} layers computed again` : '';
  return `memory: at most ${byteText(peak)}, ${there} (${describeParts(plan)}${again})`;
}

/** `there are 4.0 GiB (WebAssembly)`. */
export const describeAvailable = ({ bytes, of }: DeviceMemory) => `there are ${byteText(bytes)} (${of})`;

function describeParts(use: MemoryUse): string {
  const parts = ['weights', 'adapter', 'optimizer', 'activations', 'workspace'] as const;
  return parts.map((part) => `${part} ${byteText(use[part])}`).join(', ');
}
