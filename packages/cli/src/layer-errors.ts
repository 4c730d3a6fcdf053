import { type RoundingErrors, roundingErrors, type StorageType } from '@flex/peft';
import type { MergedModel } from './merged-model.ts';

/** What storing merged weights in a type loses of what the adapter changed. Shares are of 1. */
export interface StorageErrors {
  /** ‖stored W' − W'‖ / ‖W' − W‖ over all modules together; null where the adapter changes nothing. */
  readonly all: number | null;
  /** The module that loses the largest share; null where the adapter changes nothing. */
  readonly worst: { readonly module: string; readonly error: number } | null;
  /** By module; null where the adapter changes nothing. */
  readonly modules: Readonly<Record<string, number | null>>;
}

/** The errors by storage type, each weight read once. Throws what reading and rounding throw. */
export function storageErrors<Storage extends StorageType>(
  { base, adapters }: MergedModel,
  storages: readonly Storage[],
): Map<Storage, StorageErrors> {
  const found = [...roundingErrors(base, adapters, storages)];
  return new Map(storages.map((storage) => [storage, errorsOf(found, storage)]));
}

function errorsOf(
  found: readonly (readonly [string, RoundingErrors])[],
  storage: StorageType,
): StorageErrors {
  const share = (error: number, delta: number) => (delta === 0 ? null : error / delta);
  const norm = (of: (errors: RoundingErrors) => number) =>
    Math.hypot(...found.map(([, errors]) => of(errors)));
  const error = ({ errors }: RoundingErrors) => errors.get(storage)!;
  const shares = found.map(([module, errors]) => [module, share(error(errors), errors.delta)] as const);
  const changed = shares.flatMap(([module, error]) => (error === null ? [] : [{ module, error }]));
  return {
    all: share(
      norm(error),
      norm(({ delta }) => delta),
    ),
    worst: changed.reduce<StorageErrors['worst']>((a, b) => (a && a.error >= b.error ? a : b), null),
    modules: Object.fromEntries(shares),
  };
}

/** A share as a table shows it. */
export function shareText(share: number | null): string {
  if (share === null) return 'no change';
  return share < 1e-4 ? share.toExponential(1) : `${(100 * share).toPrecision(3)} %`;
}
