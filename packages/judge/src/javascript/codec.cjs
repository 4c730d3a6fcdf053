// biome-ignore-all lint/suspicious/noShadowRestrictedNames: a program may give global names other values
'use strict';
/**
 * Values as JSON that says what JSON cannot: a text, a boolean, null and most numbers stand for themselves,
 * all else is a list of a tag and its parts. What code could hide in does not cross: functions, symbols,
 * promises. A getter or a Proxy runs where it is encoded; what it gave is what crosses. Values are trees:
 * what is shared comes out as copies, what contains itself is too deep.
 *
 *   n text               NaN, Infinity, -Infinity, -0        u   undefined
 *   b hexadecimal        a bigint                            h   a hole of an array
 *   a elements           an array                            w primitive           of `new Number`
 *   o kind entries       an object: plain (0), without prototype (1), of a class (2); entries: key, value, …
 *   m keys and values    a Map                               s elements            a Set
 *   d milliseconds       a Date                              r source flags last   a RegExp
 *   e kind name message  an Error of a builtin kind          t class base64        a typed array
 *   x value entries      a value with further properties of its own
 */

const { types } = require('node:util');

const { Array, BigInt, Date, JSON, Map, Number, Object, RegExp, Set, String, Symbol } = globalThis;
const { Buffer, Uint8Array, Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError } =
  globalThis;
const { URIError } = globalThis;

const maxDepth = 500;
const maxItems = 1_000_000;
const { parse, stringify } = JSON;
const { isArray } = Array;

/** A value that has no encoding. */
class CannotCross extends Error {}
/** A text that encodes no value. */
class Malformed extends Error {}

const errorKinds = { Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };
const typedArrays = Object.fromEntries(
  [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array]
    .concat([Float32Array, Float64Array, BigInt64Array, BigUint64Array])
    .map((kind) => [kind.name, kind]),
);
const oddNumbers = ['NaN', 'Infinity', '-Infinity', '-0'];

/** The value as a text. Throws CannotCross. */
function encode(value) {
  let items = 0;
  const pack = (value, depth) => {
    if (++items > maxItems) throw new CannotCross(`more than ${maxItems} values`);
    if (depth > maxDepth) throw new CannotCross(`a value more than ${maxDepth} deep`);
    switch (typeof value) {
      case 'string':
      case 'boolean':
        return value;
      case 'number':
        if (Object.is(value, -0)) return ['n', '-0'];
        return Number.isFinite(value) ? value : ['n', String(value)];
      case 'undefined':
        return ['u'];
      case 'bigint':
        return ['b', value.toString(16)];
      case 'object':
        return value === null ? null : withEntries(value, depth + 1);
      default:
        throw new CannotCross(`a ${typeof value}`);
    }
  };
  const withEntries = (value, depth) => {
    const entries = (keys) => keys.flatMap((key) => [key, pack(value[key], depth)]);
    if (isObject(value)) return ['o', kindOf(value), ...entries(Object.keys(value))];
    const packed = packSpecial(value, depth);
    const further = Object.keys(value).filter((key) => !isElement(value, key));
    return further.length === 0 ? packed : ['x', packed, ...entries(further)];
  };
  const packAll = (values, depth) => Array.from(values, (item) => pack(item, depth));
  const packSpecial = (value, depth) => {
    if (isArray(value)) {
      if (value.length > maxItems) throw new CannotCross(`more than ${maxItems} values`);
      const element = (_, i) => (i in value ? pack(value[i], depth) : ['h']);
      return ['a', ...Array.from({ length: value.length }, element)];
    }
    if (types.isMap(value)) return ['m', ...packAll([...value].flat(), depth)];
    if (types.isSet(value)) return ['s', ...packAll(value, depth)];
    if (types.isDate(value)) return ['d', pack(value.getTime(), depth)];
    if (types.isRegExp(value)) return ['r', value.source, value.flags, pack(value.lastIndex, depth)];
    if (types.isNativeError(value)) return packError(value);
    if (types.isTypedArray(value) && Object.hasOwn(typedArrays, value[Symbol.toStringTag])) {
      const { buffer, byteOffset, byteLength } = value;
      return ['t', value[Symbol.toStringTag], Buffer.from(buffer, byteOffset, byteLength).toString('base64')];
    }
    if (types.isBoxedPrimitive(value)) return ['w', pack(value.valueOf(), depth)];
    throw new CannotCross(`a ${Object.prototype.toString.call(value).slice(8, -1)}`);
  };
  return stringify(pack(value, 0));
}

/** Has no internal state: neither an array, a Map nor a promise. */
const isObject = (value) =>
  !isArray(value) &&
  !types.isNativeError(value) &&
  Object.prototype.toString.call(value) === '[object Object]';

function kindOf(value) {
  const prototype = Object.getPrototypeOf(value);
  if (prototype === null) return 1;
  return prototype === Object.prototype ? 0 : 2;
}

/** Whether a key is that of an element, which the value's own encoding holds. */
const isElement = (value, key) =>
  (isArray(value) || types.isTypedArray(value) || types.isStringObject(value)) &&
  /^(?:0|[1-9]\d*)$/.test(key);

function packError(error) {
  const [kind] = Object.entries(errorKinds)
    .reverse()
    .find(([, its]) => error instanceof its) ?? ['Error'];
  return ['e', kind, String(error.name), String(error.message)];
}

/** The value of a text, made of this realm's classes. Throws Malformed for any other text. */
function decode(text) {
  try {
    return unpack(parse(text), 0);
  } catch (error) {
    if (error instanceof Malformed) throw error;
    throw new Malformed(`what is no value: ${error.message}`);
  }
}

function unpack(packed, depth) {
  if (depth > 2 * maxDepth + 2) throw new Malformed('a value that is too deep');
  if (!isArray(packed)) {
    if (packed !== null && typeof packed === 'object') throw new Malformed('an object without a tag');
    return packed;
  }
  const [tag, ...parts] = packed;
  const value = (part) => unpack(part, depth + 1);
  const text = (part) => (typeof part === 'string' ? part : refuse(tag));
  const define = (target, entries) => {
    for (let i = 0; i < entries.length; i += 2) {
      const all = { value: value(entries[i + 1]), writable: true, enumerable: true, configurable: true };
      Object.defineProperty(target, text(entries[i]), all);
    }
    return target;
  };
  switch (tag) {
    case 'n':
      return oddNumbers.includes(parts[0]) ? Number(parts[0]) : refuse(tag);
    case 'u':
      return undefined;
    case 'b': {
      const [, sign, digits] = /^(-?)([\da-f]+)$/.exec(text(parts[0])) ?? refuse(tag);
      return sign === '-' ? -BigInt(`0x${digits}`) : BigInt(`0x${digits}`);
    }
    case 'a': {
      const array = new Array(parts.length);
      for (let i = 0; i < parts.length; i++)
        if (parts[i]?.[0] !== 'h' || !isArray(parts[i])) array[i] = value(parts[i]);
      return array;
    }
    case 'w': {
      const primitive = value(parts[0]);
      return Object(typeof primitive === 'object' ? refuse(tag) : primitive);
    }
    case 'o':
      return define(newObject(parts[0]), parts.slice(1));
    case 'm': {
      const flat = parts.map(value);
      return new Map(flat.flatMap((key, i) => (i % 2 === 0 ? [[key, flat[i + 1]]] : [])));
    }
    case 's':
      return new Set(parts.map(value));
    case 'd':
      return new Date(Number(value(parts[0])));
    case 'r':
      return Object.assign(new RegExp(text(parts[0]), text(parts[1])), { lastIndex: value(parts[2]) });
    case 'e':
      return newError(...parts.map(text));
    case 't': {
      const Kind = Object.hasOwn(typedArrays, parts[0]) ? typedArrays[parts[0]] : refuse(tag);
      const bytes = Buffer.from(text(parts[1]), 'base64');
      return new Kind(new Uint8Array(bytes).buffer);
    }
    case 'x': {
      const target = value(parts[0]);
      return define(target !== null && typeof target === 'object' ? target : refuse(tag), parts.slice(1));
    }
    default:
      return refuse(tag);
  }
}

function refuse(tag) {
  throw new Malformed(`a value with a wrong ${JSON.stringify(tag)}`);
}

function newObject(kind) {
  if (kind === 0) return {};
  // One of some class: its prototype is none that the tests know.
  return Object.create(kind === 1 ? null : Object.create(Object.prototype));
}

function newError(kind, name, message) {
  const Kind = Object.hasOwn(errorKinds, kind) ? errorKinds[kind] : refuse('e');
  const error = new Kind(message);
  if (name !== error.name)
    Object.defineProperty(error, 'name', { value: name, configurable: true, writable: true });
  return error;
}

module.exports = { CannotCross, Malformed, decode, encode };
