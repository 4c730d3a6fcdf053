// biome-ignore-all lint/suspicious/noShadowRestrictedNames: a program may give global names other values
'use strict';
/** Runs in the candidate's box: loads its program, then answers calls. What it says is never believed. */

const Module = require('node:module');
const { compileFunction, constants } = require('node:vm');
const { readFrame, writeFrame } = require('./channel.cjs');
const { CannotCross, decode, encode } = require('./codec.cjs');

const { Buffer, Error, JSON, Object, Reflect, String, process } = globalThis;

const tokenBytes = 8;
const filename = '/tmp/program.js';
/** What the tests call, once the program has run to its end. */
let entry;

/** Runs the program as the main module. */
function load(source, entryPoint) {
  const names = ['exports', 'require', 'module', '__filename', '__dirname', '__entry'];
  const last = `__entry(typeof ${entryPoint} === 'undefined' ? undefined : ${entryPoint});`;
  let program;
  try {
    const importModuleDynamically = constants?.USE_MAIN_CONTEXT_DEFAULT_LOADER;
    program = compileFunction(`${source}\n;${last}`, names, { filename, importModuleDynamically });
  } catch (error) {
    return `S${describe(error)}`;
  }
  const main = new Module(filename, null);
  Object.assign(main, { id: '.', filename, paths: [] });
  process.mainModule = main;
  const take = (value) => {
    entry = value;
  };
  try {
    const require = Module.createRequire(filename);
    Reflect.apply(program, main.exports, [main.exports, require, main, filename, '/tmp', take]);
    return 'L';
  } catch (error) {
    return `E${describe(error)}`;
  }
}

/** An exception's name and text, which its own methods may make or fail to make. */
function describe(error) {
  try {
    return String(error).slice(0, 1000);
  } catch {
    return 'an exception without a text';
  }
}

/** The reply to a call: its value, what it threw, that there is nothing to call, or what cannot cross. */
function answer(request) {
  try {
    const args = decode(request);
    if (entry === undefined) return 'U';
    return `V${encode(Reflect.apply(entry, undefined, args))}`;
  } catch (error) {
    return error instanceof CannotCross ? `C${error.message}` : thrown(error);
  }
}

function thrown(error) {
  try {
    return `E${encode(error)}`;
  } catch {
    return `E${encode(new Error(describe(error)))}`;
  }
}

for (;;) {
  const frame = readFrame();
  const token = frame.subarray(0, tokenBytes);
  const kind = String.fromCharCode(frame[tokenBytes]);
  const content = frame.toString('utf8', tokenBytes + 1);
  const reply = kind === 'P' ? load(...JSON.parse(content)) : answer(content);
  writeFrame(Buffer.concat([token, Buffer.from(reply)]));
}
