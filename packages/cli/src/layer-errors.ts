import { quantizedModules } from '@flex/llama';
import { type RoundingErrors, roundingErrors, type StorageType } from '@flex/peft';
import type { MergedModel } from './merged-model.ts';

/** What storing merged weights in a type loses of what the adapter changed. Shares are of 1. */
export interface StorageErrors {
  /** ‖stored W' − W'‖ / ‖W' − W‖ over all changed weights together; null where the adapter changes nothing. */
  readonly all: number | null;
  /** The weight that loses the largest share; null where the adapter changes nothing. */
  readonly worst: { readonly weight: string; readonly error: number } | null;
  /** By weight; null where the adapter changes nothing. */
  readonly weights: Readonly<Record<string, number | null>>;
}

/** The errors by storage type, each weight read once. Throws what reading and rounding throw. */
export function storageErrors<Storage extends StorageType>(
  { base, changes, config }: MergedModel,
  storages: readonly Storage[],
): Map<Storage, StorageErrors> {
  const found = [...roundingErrors(base, changes, storages, quantizedModules(config))];
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
  const shares = found.map(([weight, errors]) => [weight, share(error(errors), errors.delta)] as const);
  const changed = shares.flatMap(([weight, error]) => (error === null ? [] : [{ weight, error }]));
  return {
    all: share(
      norm(error),
      norm(({ delta }) => delta),
    ),
    worst: changed.reduce<StorageErrors['worst']>((a, b) => (a && a.error >= b.error ? a : b), null),
    weights: Object.fromEntries(shares),
  };
}

/** A share as a table shows it. */
export function shareText(share: number | null): string {
  if (share === null) return 'no change';
  if (share < 1e-4) return share.toExponential(1);
  return `${share < 10 ? (100 * share).toPrecision(3) : (100 * share).toFixed(0)} %`;
}
