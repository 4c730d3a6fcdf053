// Workers for libraries of the web that start theirs from a Blob's text, which Node does not: a Blob is a
// file here, and its URL the file's path. Nothing else that makes a Blob works then.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';

const folder = mkdtempSync(join(tmpdir(), 'flex-bench-'));
process.on('exit', () => rmSync(folder, { recursive: true }));
let files = 0;

/** `before` runs in the worker, ahead of its text. */
export function blobsAreFiles(before) {
  globalThis.Blob = class {
    constructor(parts) {
      this.path = join(folder, `${files++}.cjs`);
      writeFileSync(this.path, `${before}\nURL.createObjectURL = ({ path }) => path;\n${parts.join('')}`);
    }
  };
  URL.createObjectURL = ({ path }) => path;
  URL.revokeObjectURL = () => {};
}

/** A worker of the web as far as one needs it who posts messages and listens. */
export class WebWorker {
  #worker;

  constructor(path) {
    this.#worker = new Worker(path);
    this.#worker.on('message', (data) => this.onmessage({ data }));
    this.#worker.on('error', (error) => this.onerror(error));
  }

  postMessage(message) {
    this.#worker.postMessage(message);
  }
}

/** What the text of a worker of the web finds around it. */
export const aroundWebWorker = `const { parentPort } = require('node:worker_threads');
globalThis.self = globalThis;
globalThis.postMessage = (message) => parentPort.postMessage(message);
parentPort.on('message', (data) => self.onmessage({ data }));`;
