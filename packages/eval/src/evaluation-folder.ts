import { lstatSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  beginProvenance,
  type Code,
  ConfigError,
  differentInputs,
  digestJson,
  finishProvenance,
  type Inputs,
  lockFolder,
  type Provenance,
  parseJson,
  readProvenance,
  readWhole,
  requireOwnFolder,
  resumeProvenance,
  settingOf,
  writeAtomic,
} from '@flex/base';
import { z } from 'zod';
import { resultFiles } from './results.ts';

/** File of an evaluation's provenance in its folder, from before the first completion on. */
export const provenanceFile = 'provenance.json';

/** A folder of results, locked for one evaluation. */
export interface EvaluationFolder {
  readonly path: string;
  /** Tells of a lock that was taken over; null where there was none. */
  readonly note: string | null;
  /**
   * Writes the provenance, the first time and unless the results are there already, with the device that
   * generates, null for none; with `overwrite` first removes the results of an evaluation before. Where one
   * was begun before, this one goes on with it, as completions and judgements may be from then.
   */
  begin(device: string | null): void;
  /**
   * Writes the rows of samples.jsonl, and what `resultsOf` gives as results.json. Results that are there
   * already and the same stay what they are, with their times. Gives the provenance of what is then there.
   */
  finish(rows: readonly string[], resultsOf: (provenance: Provenance) => string): Provenance;
  release(): void;
}

/** What decides an evaluation's results. */
export interface EvaluationBasis {
  readonly inputs: Inputs;
  readonly code: Code;
  /** See `protocolParts`. */
  readonly protocol: Readonly<Record<string, unknown>>;
}

/**
 * The folder `out`, for the results of one evaluation: locked before anything is read from or written into
 * it. It takes one evaluation, done or not; `overwrite` replaces that one, but for the completions and
 * judgements that are kept, which are kept by what they were made from.
 *
 * Throws ConfigError where `out` is no folder of its own, where another process writes into it, where it
 * holds an evaluation of other inputs or by another protocol, and where what no evaluation wrote has the name
 * of what one writes; DataError where what is there cannot be read.
 */
export function openEvaluationFolder(
  out: string,
  { inputs, code, protocol }: EvaluationBasis,
  { overwrite = false }: { readonly overwrite?: boolean } = {},
): EvaluationFolder {
  const { model, adapters, samples, data } = inputs;
  const read = [
    ['the model', model] as const,
    ...adapters.map((adapter) => ['the adapter', adapter] as const),
    ['the samples', samples] as const,
    ...data.map((source) => ['the data', source] as const),
  ];
  requireOwnFolder(
    '--out',
    out,
    read.flatMap(([of, source]) => (source ? [{ of, path: source.path }] : [])),
  );
  const lock = lockFolder(out);
  try {
    const before = provenanceIn(out);
    requireEvaluation(out, before);
    if (!overwrite) requireSame(out, before, { inputs, protocol });
    const finished = overwrite ? null : resultsIn(out);
    let device: string | null = null;
    let begun: Provenance | undefined;
    /** Records that this process goes to work on the evaluation. */
    const goOn = () => {
      const setting = settingOf(code, device);
      // Completions that are kept fit the inputs, but may be by the code and the device of before.
      begun = before
        ? resumeProvenance({ ...before, ...inputs }, { inputs, setting })
        : beginProvenance(inputs, setting);
      writeAtomic(join(out, provenanceFile), `${JSON.stringify(begun, null, 2)}\n`);
      return begun;
    };
    return {
      path: out,
      note: lock.note,
      begin(generatedOn) {
        if (begun) return;
        device = generatedOn;
        if (overwrite)
          for (const name of Object.values(resultFiles)) rmSync(join(out, name), { force: true });
        begun = finished?.provenance ?? goOn();
      },
      finish(rows, resultsOf) {
        writeAtomic(join(out, resultFiles.samples), rows);
        if (finished && isEqual(JSON.parse(resultsOf(finished.provenance)), finished.results))
          return finished.provenance;
        const provenance = finishProvenance(finished || !begun ? goOn() : begun);
        writeAtomic(join(out, resultFiles.results), resultsOf(provenance));
        return provenance;
      },
      release: lock.release,
    };
  } catch (error) {
    lock.release();
    throw error;
  }
}

function provenanceIn(out: string): Provenance | null {
  const path = join(out, provenanceFile);
  return isFile(path) ? readProvenance(parseJson(readWhole(path).toString(), path), path) : null;
}

/** The results in a folder; null where there are none that say what they were made from. */
function resultsIn(out: string): { readonly results: unknown; readonly provenance: Provenance } | null {
  const path = join(out, resultFiles.results);
  if (!isFile(path)) return null;
  const results = parseJson(readWhole(path).toString(), path);
  const provenance = z.object({ provenance: z.unknown() }).safeParse(results).data?.provenance;
  return provenance === undefined ? null : { results, provenance: readProvenance(provenance, path) };
}

/** Throws ConfigError for a file of results that no evaluation wrote. */
function requireEvaluation(out: string, before: Provenance | null): void {
  if (before) return;
  const taken = Object.values(resultFiles).filter((name) => isFile(join(out, name)));
  if (taken.length > 0 && protocolIn(out) === null) {
    throw new ConfigError(
      `${join(out, taken[0])}: was written by no evaluation and is in the way; take another folder as --out`,
    );
  }
}

function requireSame(
  out: string,
  before: Provenance | null,
  { inputs, protocol }: Pick<EvaluationBasis, 'inputs' | 'protocol'>,
): void {
  const cure = 'take another folder as --out, or give --overwrite';
  const held = protocolIn(out);
  if (!before && held)
    throw new ConfigError(`${out}: holds results that do not say of which inputs; ${cure}`);
  const others = before ? differentInputs(before, inputs) : [];
  if (others.length > 0) {
    throw new ConfigError(`${out}: holds an evaluation of other inputs (${others.join(', ')}); ${cure}`);
  }
  const changed = held ? Object.keys(protocol).filter((key) => !isEqual(protocol[key], held[key])) : [];
  if (changed.length > 0) {
    throw new ConfigError(`${out}: holds results by another protocol (${changed.join(', ')}); ${cure}`);
  }
}

/** The parts of the protocol of the results in a folder; null where there are none. */
function protocolIn(out: string): Readonly<Record<string, unknown>> | null {
  const path = join(out, resultFiles.results);
  if (!isFile(path)) return null;
  const results = z.object({ protocol_parts: z.record(z.string(), z.unknown()) });
  return results.safeParse(parseJson(readWhole(path).toString(), path)).data?.protocol_parts ?? null;
}

function isEqual(a: unknown, b: unknown): boolean {
  return digestJson([a ?? null]) === digestJson([b ?? null]);
}

/** Whether a file is there. A link is none: what is written takes its name, and goes not through it. */
function isFile(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}
