import { DataError } from '@flex/base';
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';

/** A normalizer or a pre-tokenizer, as tokenizer.json writes it. */
export interface Part {
  readonly type: string;
  readonly [key: string]: unknown;
}

/** What is done to a text before its pieces are tokens. */
export interface TextSplitter {
  normalize(text: string): string;
  /** The pieces of a normalised text, no token reaching over two; `first` for the one that a text begins with. */
  split(text: string, first: boolean): string[];
}

/** What is used of the library; its type files cannot be resolved from ES modules. */
interface Library {
  readonly normalizer: { normalize(text: string): string } | null;
  readonly pre_tokenizer: {
    pre_tokenize(text: string, options: { section_index: number }): string[];
  } | null;
}

/**
 * Runs a tokenizer.json's normalizer and pre-tokenizer; with `continuation`, without the space that they put
 * in front of a text.
 *
 * The library runs them. Where it takes a part for something else than Python's library does, the part is
 * written here in others that it takes rightly; one that it has no right words for is refused.
 * Throws DataError, beginning with `path`, for a part that is unknown or malformed.
 */
export function newTextSplitter(
  path: string,
  normalizer: Part | null,
  preTokenizer: Part | null,
  continuation: boolean,
): TextSplitter {
  const refuse = (kind: string) => (part: Part) => {
    throw new DataError(`${path}: a ${kind} of type ${part?.type} is not supported`);
  };
  const library = openLibrary(path, {
    normalizer: normalizer && normalizerParts(normalizer, continuation, refuse('normalizer')),
    pre_tokenizer: preTokenizer && preTokenizerParts(preTokenizer, continuation, refuse('pre_tokenizer')),
    post_processor: null,
    decoder: null,
    added_tokens: [],
    model: { type: 'BPE', vocab: {}, merges: [] },
  });
  return {
    normalize: (text) => library.normalizer?.normalize(text) ?? text,
    split: (text, first) =>
      library.pre_tokenizer?.pre_tokenize(text, { section_index: first ? 0 : 1 }) ?? [text],
  };
}

function openLibrary(path: string, json: object): Library {
  try {
    return new HuggingFaceTokenizer(json, {}) as Library;
  } catch (cause) {
    throw new DataError(`${path}: is not a tokenizer that can be read: ${(cause as Error).message}`, {
      cause,
    });
  }
}

type Refuse = (part: Part) => never;

const sequence = (key: string, parts: readonly Part[]): Part => ({ type: 'Sequence', [key]: parts });
const replace = (regex: string, content: string): Part => ({
  type: 'Replace',
  pattern: { Regex: regex },
  content,
});
const split = (regex: string): Part => ({
  type: 'Split',
  pattern: { Regex: regex },
  behavior: 'Isolated',
  invert: false,
});

/** What parts have beside their types: another key would change a part's meaning, and nobody would notice. */
const keysOf: Readonly<Record<string, readonly string[]>> = {
  Sequence: ['normalizers', 'pretokenizers'],
  Prepend: ['prepend'],
  Replace: ['pattern', 'content'],
  Strip: ['strip_left', 'strip_right'],
  ByteLevel: ['add_prefix_space', 'trim_offsets', 'use_regex'],
  Digits: ['individual_digits'],
  Metaspace: ['replacement', 'add_prefix_space', 'prepend_scheme', 'split', 'str_rep'],
  Split: ['pattern', 'behavior', 'invert'],
};

function checkKeys({ type, ...others }: Part, refuse: Refuse): void {
  const key = Object.keys(others).find((each) => !keysOf[type]?.includes(each));
  if (key !== undefined) refuse({ type: `${type} with "${key}"` });
}

function partsOf(list: unknown, refuse: Refuse): readonly Part[] {
  if (!Array.isArray(list)) return refuse({ type: 'Sequence without its parts' });
  for (const part of list) if (typeof part?.type !== 'string') refuse({ type: JSON.stringify(part) });
  return list;
}

/** Where case is ignored, two letters beyond ASCII are an s and a k, which the library does not know. */
const withFoldedLetters = (regex: string): string =>
  regex.replace(/\(\?i:[^()\\]*\)/g, (group) =>
    group.replaceAll('s', '[s\u017F]').replaceAll('k', '[k\u212A]'),
  );

/** What a Split or a Replace looks for, as a regular expression. */
function patternOf({ type, pattern }: Part, refuse: Refuse): string {
  const { Regex: regex, String: text } = (pattern ?? {}) as { Regex?: unknown; String?: unknown };
  if (typeof regex === 'string') return withFoldedLetters(regex);
  return typeof text === 'string' ? escaped(text) : refuse({ type: `${type} without its pattern` });
}

function normalizerParts(part: Part, continuation: boolean, refuse: Refuse): Part {
  checkKeys(part, refuse);
  switch (part.type) {
    case 'Sequence': {
      const parts = partsOf(part.normalizers, refuse);
      return sequence(
        'normalizers',
        parts.map((each) => normalizerParts(each, continuation, refuse)),
      );
    }
    case 'Prepend':
      return continuation ? sequence('normalizers', []) : part;
    case 'Replace':
      // In the text that replaces another, JavaScript gives the dollar sign a meaning.
      return replace(patternOf(part, refuse), String(part.content).replaceAll('$', '$$$$'));
    case 'Strip': {
      // JavaScript's white space is not Unicode's.
      const left = part.strip_left ? [replace('\\A\\s+', '')] : [];
      const right = part.strip_right ? [replace('\\s+\\z', '')] : [];
      return sequence('normalizers', [...left, ...right]);
    }
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD':
    case 'Lowercase':
      return part;
    default:
      return refuse(part);
  }
}

/** GPT-2's pieces: contractions, words, numbers, signs, each with the space before it, and white space. */
const gpt2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

function preTokenizerParts(part: Part, continuation: boolean, refuse: Refuse): Part {
  checkKeys(part, refuse);
  switch (part.type) {
    case 'Sequence': {
      const parts = partsOf(part.pretokenizers, refuse);
      return sequence(
        'pretokenizers',
        parts.map((each) => preTokenizerParts(each, continuation, refuse)),
      );
    }
    case 'ByteLevel': {
      // The library's own pieces have JavaScript's white space.
      const space = part.add_prefix_space && !continuation ? [replace('\\A([^ ])', ' $1')] : [];
      const pieces = part.use_regex === false ? [] : [split(gpt2)];
      const bytes = { type: 'ByteLevel', add_prefix_space: false, use_regex: false };
      return sequence('pretokenizers', [...space, ...pieces, bytes]);
    }
    case 'Digits':
      // The library knows ten.
      return split(part.individual_digits ? '\\p{N}' : '\\p{N}+');
    case 'Metaspace': {
      const { replacement = '\u2581', add_prefix_space = true } = part;
      const scheme = part.prepend_scheme ?? (add_prefix_space ? 'always' : 'never');
      if (!['always', 'first', 'never'].includes(String(scheme))) {
        return refuse({ type: `Metaspace with the prepend_scheme ${scheme}` });
      }
      const spaces = { type: 'Metaspace', replacement, prepend_scheme: continuation ? 'never' : scheme };
      const words = part.split === false ? [] : [split(withNext(escaped(String(replacement))))];
      return sequence('pretokenizers', [spaces, ...words]);
    }
    case 'Split':
      return splitPart(part, refuse);
    default:
      return refuse(part);
  }
}

/** A Split in the library's words: only what matches, or what matches and what is between. */
function splitPart(part: Part, refuse: Refuse): Part {
  const matches = patternOf(part, refuse);
  const without = `(?:(?!${matches})[\\s\\S])`;
  if (part.invert && part.behavior !== 'Removed') return refuse({ type: 'Split, inverted' });
  if (part.invert) return { ...split(matches), behavior: 'Removed', invert: true };
  switch (part.behavior) {
    case 'Isolated':
      return split(matches);
    case 'Removed':
      return { ...split(`${without}+`), behavior: 'Removed', invert: true };
    case 'Contiguous':
      return split(`(?:${matches})+`);
    case 'MergedWithPrevious':
      return split(`${without}*(?:${matches})|${without}+`);
    case 'MergedWithNext':
      return split(withNext(matches));
    default:
      return refuse({ type: `Split with ${part.behavior}` });
  }
}

const withNext = (matches: string): string => {
  const without = `(?:(?!${matches})[\\s\\S])`;
  return `(?:${matches})${without}*|${without}+`;
};

const escaped = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|-]/g, '\\$&');
