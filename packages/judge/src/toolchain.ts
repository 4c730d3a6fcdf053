import { ConfigError } from '@flex/base';
import { type FoundToolchain, findToolchain } from './find-toolchain.ts';
import type { Language } from './language.ts';
import { type LanguageId, languageOf, languages } from './languages/index.ts';

/** What runs the programs of one language in a box. */
export interface Toolchain extends FoundToolchain {
  /** The language's id. */
  readonly language: string;
}

const found = new Map<Language, Promise<Toolchain>>();

/** What can run programs of a language here; looked up once a process. */
export function toolchainOf(language: Language): Promise<Toolchain> {
  const toolchain = found.get(language) ?? look(language);
  found.set(language, toolchain);
  return toolchain;
}

/** Every language's toolchain, in the order of `languages`. */
export function allToolchains(): Promise<Toolchain[]> {
  return Promise.all(languages.map(toolchainOf));
}

/** The version of a language's toolchain. Throws ConfigError where there is none. */
export async function toolchainVersion(language: Language): Promise<string> {
  const { name, version, missing, install } = await toolchainOf(language);
  if (version !== null) return version;
  throw new ConfigError(`${name} programs cannot be judged here: ${missing}; install it with: ${install}`);
}

/** The versions of some languages' toolchains. Throws ConfigError for the first language without one. */
export async function toolchainVersions(
  ids: readonly LanguageId[],
): Promise<Readonly<Partial<Record<LanguageId, string>>>> {
  const versions = await Promise.all(ids.map((id) => toolchainVersion(languageOf(id))));
  return Object.fromEntries(ids.map((id, i) => [id, versions[i]]));
}

async function look(language: Language): Promise<Toolchain> {
  return { language: language.id, ...(await findToolchain(language)) };
}
