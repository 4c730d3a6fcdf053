'use strict';
/**
 * Runs in a box of its own: executes the tests, whose calls the candidate's box answers.
 *
 * Frames to the harness: C a call; F the first failure, as JSON, after which the tests go on; D that they
 * have ended. Back, to a call: V a value, E what it threw, U nothing to call, C a value that cannot cross,
 * A nobody.
 */

const assert = require('node:assert');
const { readFileSync } = require('node:fs');
const Module = require('node:module');
const { inspect } = require('node:util');
const { compileFunction } = require('node:vm');
const { readFrame, writeFrame } = require('./channel.cjs');
const { CannotCross, Malformed, decode, encode } = require('./codec.cjs');

const longest = 1000; // characters of an exception's name and text
const { code, entryPoint } = JSON.parse(readFileSync('/flex/tests.json', 'utf8'));

let hasFailed = false;

function fail(failure, detail) {
  if (hasFailed) return;
  hasFailed = true;
  writeFrame(Buffer.from(`F${JSON.stringify([failure, detail.slice(0, longest)])}`));
}

/** The candidate is gone, by which the verdict is decided, or what it sent is no answer. */
class CannotGoOn extends Error {}

function cannotGoOn(failure, detail) {
  if (failure !== null) fail(failure, detail);
  throw new CannotGoOn(detail);
}

/** What the tests call: the candidate's function. Throws what it threw. */
function candidate(...args) {
  writeFrame(Buffer.from(`C${encoded(args)}`));
  const reply = readFrame();
  const content = reply.toString('utf8', 1);
  switch (String.fromCharCode(reply[0])) {
    case 'V':
      return decoded(content);
    case 'E':
      throw decoded(content);
    case 'U':
      throw new ReferenceError(`${entryPoint} is not defined`);
    case 'C':
      return cannotGoOn('exception', `a value cannot cross to the tests: ${content}`);
    case 'A':
      return cannotGoOn(null, 'the candidate is gone');
    default:
      return cannotGoOn('protocol', 'sent a reply of no known kind');
  }
}

function encoded(args) {
  try {
    return encode(args);
  } catch (error) {
    if (!(error instanceof CannotCross)) throw error;
    return cannotGoOn('exception', `a value of the tests cannot cross: ${error.message}`);
  }
}

function decoded(content) {
  longestReply = Math.max(longestReply, content.length);
  try {
    return decode(content);
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return cannotGoOn('protocol', `sent ${error.message}`);
  }
}

const brief = { depth: 4, maxArrayLength: 20, maxStringLength: 200, breakLength: Infinity };
/** Characters of a reply beyond which values are not shown, as that might take long. */
const showable = 100_000;
let longestReply = 0;

/** A value for people, whatever the methods that it should have are. */
function show(value) {
  if (longestReply > showable) return '…';
  try {
    return inspect(value, brief);
  } catch {
    return '…';
  }
}

/** How many values each assertion looks at; a message follows them. */
const compared = { ok: 1, equal: 2, notEqual: 2, strictEqual: 2, notStrictEqual: 2, deepEqual: 2, match: 2 };
Object.assign(compared, { notDeepEqual: 2, deepStrictEqual: 2, notDeepStrictEqual: 2, doesNotMatch: 2 });

/**
 * An assertion that goes on where it fails, so that what is called next does not tell the candidate whether
 * it was right. Given a message, Node's makes no text of the values, which may take long.
 */
function recording(name, assertion) {
  const record = (error, values) => {
    if (error instanceof CannotGoOn) throw error;
    const shown = values ?? error.message;
    fail('assertion', shown);
  };
  return (...args) => {
    const count = compared[name];
    const values = count && `${name}(${args.slice(0, count).map(show).join(', ')})`;
    try {
      const result = count ? assertion(...args.slice(0, count), 'failed') : assertion(...args);
      return result instanceof Promise ? result.catch((error) => record(error)) : result;
    } catch (error) {
      return record(error, values);
    }
  };
}

function recordingAssert(original) {
  const copy = recording('ok', original);
  for (const [name, value] of Object.entries(original)) {
    const isAssertion = typeof value === 'function' && name !== 'AssertionError' && name !== 'CallTracker';
    if (name !== 'strict') copy[name] = isAssertion ? recording(name, value) : value;
  }
  return copy;
}

const loose = recordingAssert(assert);
const strict = recordingAssert(assert.strict);
loose.strict = strict.strict = strict;
const builtin = Module.createRequire('/tmp/tests.js');

function require_(name) {
  const plain = String(name).replace(/^node:/, '');
  if (plain === 'assert') return loose;
  return plain === 'assert/strict' ? strict : builtin(name);
}

function ended(error) {
  if (error instanceof CannotGoOn) return;
  if (error instanceof assert.AssertionError) return fail('assertion', error.message);
  let text;
  try {
    text = String(error);
  } catch {
    text = show(error);
  }
  fail('exception', text);
}

// What tests print is nobody's concern, however much of it a candidate makes them print.
process.stdout.write = process.stderr.write = () => true;
process.on('exit', () => writeFrame(Buffer.from('D')));
process.on('uncaughtException', ended);
const tests = compileFunction(code, ['require', 'module', entryPoint], { filename: '/tmp/tests.js' });
tests(require_, { exports: {} }, candidate);
