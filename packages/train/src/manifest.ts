import type { Commit, FileDigest, Machine, ModuleDigest, Provenance, Resumption } from '@flex/base';
import type { RunData } from './data/run-data.ts';
import type { RunDigests } from './run-inputs.ts';
import type { RunLength } from './run-length.ts';

/** What a run was made of: enough to make it again, and to see why two runs differ. */
export interface Manifest extends RunLength {
  /** Marks a folder as a run's. */
  readonly kind: 'flex-run';
  /** What a run that goes on must have as it is here. */
  readonly digests: RunDigests;
  /** When the run began: ISO 8601, UTC. */
  readonly started: string;
  /** When it went on, and after which update. */
  readonly resumed: readonly Resumption[];
  /** Node's, flex's, and those of the packages that flex computes with. */
  readonly versions: Readonly<Record<string, string>>;
  readonly commit: Commit | null;
  readonly machine: Machine;
  /** The WebGPU adapter's name, or that of the backend that took its place. */
  readonly adapter: string;
  /** Every seed by what it is for. */
  readonly seeds: Readonly<Record<string, number>>;
  /** Of training, then of what is held out, each file once. */
  readonly data: readonly FileDigest[];
  /** Files of the model, and of the adapter that is continued. */
  readonly model: readonly FileDigest[];
  readonly modules: readonly ModuleDigest[];
  /** The choices that decide what the results mean, as they were resolved. JSON values. */
  readonly protocol: Readonly<Record<string, unknown>>;
  /** Layers that are computed again in the backward pass: it decides on memory, and on no number. */
  readonly recomputed: number;
  /** Rows of the training data that are in held-out data too or are alike, and by which rule. */
  readonly overlaps: RunData['overlaps'];
  /** As in every record of flex; the keys above but `digests`, `protocol` and `overlaps` are taken from it. */
  readonly provenance: Provenance;
}

/** The manifest of a run of this provenance, and of what else it has. */
export function makeManifest(
  provenance: Provenance,
  { digests, ...others }: RunLength & Pick<Manifest, 'digests' | 'overlaps' | 'protocol' | 'recomputed'>,
): Manifest {
  const { started, resumed, code, machine, device, seeds, data, model, adapters, modules } = provenance;
  const files = data.flatMap((source) => source.files);
  const unique = files.filter(({ path }, i) => files.findIndex((other) => other.path === path) === i);
  return {
    kind: 'flex-run',
    digests,
    started,
    resumed,
    versions: code.versions,
    commit: code.commit,
    machine,
    adapter: device ?? 'none',
    seeds,
    data: unique,
    model: [model, ...adapters].flatMap((source) => source?.files ?? []),
    modules,
    ...others,
    provenance,
  };
}
