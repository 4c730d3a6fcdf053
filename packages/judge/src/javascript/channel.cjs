// biome-ignore-all lint/suspicious/noShadowRestrictedNames: a program may give global names other values
'use strict';
/** Frames to and from the harness: four bytes of length, big endian, then that many bytes. */

const { readSync, writeSync } = require('node:fs');

const { Buffer, process } = globalThis;

/** The file descriptors that `onChannel` gives a process. */
const requests = 3;
const replies = 4;

function readExactly(size) {
  const bytes = Buffer.allocUnsafeSlow(size);
  for (let filled = 0; filled < size; ) {
    const count = readSync(requests, bytes, filled, size - filled, null);
    if (count === 0) process.reallyExit(0);
    filled += count;
  }
  return bytes;
}

/** The next frame; where the harness is gone the process ends instead. */
function readFrame() {
  return readExactly(readExactly(4).readUInt32BE());
}

function writeFrame(payload) {
  const frame = Buffer.allocUnsafeSlow(4 + payload.length);
  frame.writeUInt32BE(payload.length);
  payload.copy(frame, 4);
  for (let sent = 0; sent < frame.length; ) sent += writeSync(replies, frame, sent);
}

module.exports = { readFrame, writeFrame };
