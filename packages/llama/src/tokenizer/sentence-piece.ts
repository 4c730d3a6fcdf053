import { DataError, readWhole } from '@flex/base';
import protobuf from 'protobufjs/minimal.js';
import { type AddedToken, newAddedTokenSplitter } from './added-tokens.ts';
import { type Merge, newBpe } from './bpe.ts';
import type { Part } from './text-splitter.ts';
import { byteName, type TokenModel } from './token-model.ts';
import type { TokenizerParts } from './tokenizer-parts.ts';
import { newUnigram } from './unigram.ts';

/** Kinds of pieces, and the two kinds of models that are read, as sentencepiece_model.proto numbers them. */
const [normal, control, userDefined] = [1, 3, 4];
const [unigram, bpe] = [1, 2];

/** A piece of the vocabulary; kinds as sentencepiece_model.proto numbers them. */
export interface Piece {
  name: string;
  score: number;
  kind: number;
}

/** What is used of SentencePiece's ModelProto, with the values of keys that the file does not have. */
const newProto = () => ({
  pieces: [] as Piece[],
  modelType: unigram,
  spaceAsSuffix: false,
  byteFallback: false,
  unknown: 0,
  bos: 1,
  eos: 2,
  pad: -1,
  charsmap: 0,
  spaceFirst: true,
  removeExtraSpaces: true,
  escapeSpaces: true,
});

export type SentencePieceProto = ReturnType<typeof newProto>;

const mostBytes = 1 << 27;

/**
 * A SentencePiece tokenizer.model, its ids those of SentencePiece itself for text that spells no control
 * token. With `legacy`, the space that it puts in front of a text also stands after each special token.
 * Throws DataError for a file that is none, or one whose normalizer maps characters (nmt_nfkc and the like).
 */
export function readSentencePiece(path: string, legacy: boolean): TokenizerParts {
  const proto = readSentencePieceProto(path);
  const { pieces } = proto;
  if (proto.charsmap > 0) {
    throw new DataError(`${path}: normalizes characters by a table, which is not supported; identity is`);
  }
  if (proto.spaceAsSuffix || !proto.escapeSpaces) {
    throw new DataError(`${path}: writes spaces behind words, or as they are, which is not supported`);
  }
  const ids = new Map(pieces.map(({ name }, id) => [name, id]));
  if (ids.size < pieces.length || !pieces[proto.unknown]) {
    throw new DataError(`${path}: must hold an unknown token, and each of its ${pieces.length} once`);
  }
  const added = pieces.flatMap(({ name, kind }, id) =>
    kind === control || id === proto.unknown ? [asSpelt(id, name)] : [],
  );
  const bos = pieces[proto.bos]?.name;
  return {
    path,
    model: newModel(path, proto, ids),
    added,
    normalizer: { type: 'Sequence', normalizers: normalizers(proto) },
    preTokenizer: null,
    opening: bos === undefined ? [] : [bos],
    names: 'spaces',
    spaceOnce: !legacy,
    named: { bos_token: bos, eos_token: pieces[proto.eos]?.name, pad_token: pieces[proto.pad]?.name },
  };
}

const asSpelt = (id: number, content: string): AddedToken => {
  const flags = { normalized: false, single_word: false, lstrip: false, rstrip: false };
  return { id, content, special: true, ...flags };
};

function normalizers({ spaceFirst, removeExtraSpaces }: SentencePieceProto): Part[] {
  const replace = (pattern: object, content: string): Part => ({ type: 'Replace', pattern, content });
  return [
    ...(removeExtraSpaces ? [replace({ Regex: '\\A +' }, ''), replace({ Regex: ' +' }, ' ')] : []),
    ...(spaceFirst ? [{ type: 'Prepend', prepend: '\u2581' }] : []),
    replace({ String: ' ' }, '\u2581'),
    ...(removeExtraSpaces ? [replace({ Regex: '\u2581+\\z' }, '')] : []),
  ];
}

function newModel(path: string, proto: SentencePieceProto, ids: ReadonlyMap<string, number>): TokenModel {
  const { pieces, unknown, byteFallback } = proto;
  if (
    byteFallback &&
    Array.from({ length: 256 }, (_, byte) => byteName(byte)).some((name) => !ids.has(name))
  ) {
    throw new DataError(`${path}: falls back to bytes, and has not all 256`);
  }
  const own = pieces.filter(({ kind }) => kind === normal);
  const symbols = pieces.filter(({ kind }) => kind === userDefined);
  if (proto.modelType === unigram) {
    if (symbols.length > 0) {
      throw new DataError(`${path}: is a unigram model with symbols of its user, which is not supported`);
    }
    const scores = own.map(({ name, score }) => [name, score] as const);
    return newUnigram({ ids, scores, unknown, byteFallback, f32: true });
  }
  if (proto.modelType === bpe) {
    const model = newBpe({ ids, merges: mergesOf(own, ids), unknown, fuseUnknown: true, byteFallback });
    const split = newAddedTokenSplitter(
      symbols.map(({ name }) => [name, asSpelt(ids.get(name) as number, name)]),
    );
    return {
      ids,
      encode: (piece) =>
        split(piece).flatMap(({ text, token }) => (token ? [token.id] : [...model.encode(text)])),
    };
  }
  throw new DataError(`${path}: is neither a unigram nor a BPE model (model_type ${proto.modelType})`);
}

/** SentencePiece's BPE joins any two tokens whose texts together are one, that of the highest score first. */
function mergesOf(pieces: readonly Piece[], ids: ReadonlyMap<string, number>): Merge[] {
  const own = new Set(pieces.map(({ name }) => name));
  const scores = [...new Set(pieces.map(({ score }) => score))].sort((a, b) => b - a);
  const rankOf = new Map(scores.map((score, rank) => [score, rank]));
  return pieces.flatMap(({ name, score }) => {
    const found: Merge[] = [];
    for (let cut = 1; cut < name.length; cut++) {
      const [left, right] = [name.slice(0, cut), name.slice(cut)];
      if (!own.has(left) || !own.has(right)) continue;
      const idOf = (text: string) => ids.get(text) as number;
      found.push({
        left: idOf(left),
        right: idOf(right),
        merged: idOf(name),
        rank: rankOf.get(score) as number,
      });
    }
    return found;
  });
}

type Fields = Readonly<Record<number, (reader: protobuf.Reader) => void>>;

/** What a SentencePiece tokenizer.model holds. Throws DataError for a file that is none. */
export function readSentencePieceProto(path: string): SentencePieceProto {
  const proto = newProto();
  const trainer: Fields = {
    3: (reader) => (proto.modelType = reader.int32()),
    24: (reader) => (proto.spaceAsSuffix = reader.bool()),
    35: (reader) => (proto.byteFallback = reader.bool()),
    40: (reader) => (proto.unknown = reader.int32()),
    41: (reader) => (proto.bos = reader.int32()),
    42: (reader) => (proto.eos = reader.int32()),
    43: (reader) => (proto.pad = reader.int32()),
  };
  const normalizer: Fields = {
    2: (reader) => (proto.charsmap = reader.bytes().length),
    3: (reader) => (proto.spaceFirst = reader.bool()),
    4: (reader) => (proto.removeExtraSpaces = reader.bool()),
    5: (reader) => (proto.escapeSpaces = reader.bool()),
  };
  const model: Fields = {
    1: (reader) => {
      const piece: Piece = { name: '', score: 0, kind: normal };
      readMessage(reader.bytes(), {
        1: (inner) => (piece.name = inner.string()),
        2: (inner) => (piece.score = inner.float()),
        3: (inner) => (piece.kind = inner.int32()),
      });
      proto.pieces.push(piece);
    },
    2: (reader) => readMessage(reader.bytes(), trainer),
    3: (reader) => readMessage(reader.bytes(), normalizer),
  };
  const bytes = readWhole(path, mostBytes);
  try {
    readMessage(bytes, model);
  } catch (cause) {
    throw new DataError(`${path}: is not a SentencePiece model: ${(cause as Error).message}`, { cause });
  }
  return proto;
}

/** Reads the fields of a protobuf message that are named, and passes over the others. */
function readMessage(bytes: Uint8Array, fields: Fields): void {
  const reader = protobuf.Reader.create(bytes);
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    const read = fields[tag >>> 3];
    if (read) read(reader);
    else reader.skipType(tag & 7);
  }
}
