import type { Language } from '../language.ts';
import { bash } from './bash.ts';
import { cpp } from './cpp.ts';
import { go } from './go.ts';
import { java } from './java.ts';
import { javascript } from './javascript.ts';
import { lua } from './lua.ts';
import { perl } from './perl.ts';
import { php } from './php.ts';
import { python } from './python.ts';
import { r } from './r.ts';
import { racket } from './racket.ts';
import { ruby } from './ruby.ts';
import { rust } from './rust.ts';
import { typescript } from './typescript.ts';

/** All languages whose programs can be judged, in the order in which results list them. */
export const languages = [
  python,
  java,
  javascript,
  typescript,
  cpp,
  rust,
  perl,
  ruby,
  php,
  lua,
  bash,
  r,
  go,
  racket,
] as const satisfies readonly Language[];

export type LanguageId = (typeof languages)[number]['id'];

/** MultiPL-E's short names of the languages. */
export const languageIds: readonly LanguageId[] = languages.map(({ id }) => id);

const byId = new Map<string, Language>(languages.map((language) => [language.id, language]));

/** The language of this id. Throws RangeError where there is none. */
export function languageOf(id: LanguageId): Language {
  const language = byId.get(id);
  if (language === undefined) throw new RangeError(`language: unknown id ${JSON.stringify(id)}`);
  return language;
}
