import { type InputFiles, mapPaths } from '@flex/base';
import type { TrainConfig } from './config.ts';
import { isSection } from './config-section.ts';
import { findPart, type PartKind, type PartSection } from './parts.ts';

/**
 * The configuration with the digests of what the paths among its parts' options lead to in place of the
 * paths; of what is to be written to, nothing. Throws what digesting them throws.
 */
export async function withContents(config: TrainConfig, files: InputFiles): Promise<TrainConfig> {
  const portable = async <S extends PartSection>(kind: PartKind, section: S): Promise<S> => {
    const { schema } = await findPart(kind, section);
    const contents = (path: string) => files.digest(path).map(({ sha256 }) => sha256);
    return mapPaths(schema, section, (path, leadsTo) =>
      leadsTo === 'output' ? '' : contents(path).join(),
    ) as S;
  };
  const reading = async <S extends TrainConfig['eval'][number]>(source: S): Promise<S> => {
    const { format } = source;
    return isSection(format) ? { ...source, format: await portable('format', format) } : source;
  };
  const { data, eval: heldOut, optimizer, schedule, regularizer, callbacks } = config;
  return {
    ...config,
    data: await reading(data),
    eval: await Promise.all(heldOut.map(reading)),
    optimizer: await portable('optimizer', optimizer),
    schedule: await portable('schedule', schedule),
    regularizer: await Promise.all(regularizer.map((part) => portable('regularizer', part))),
    callbacks: await Promise.all(callbacks.map((part) => portable('callback', part))),
  };
}
