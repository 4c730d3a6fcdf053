// Reads a Parquet file in a thread of its own, whose memory and time have bounds (parquet-rows.ts): a damaged
// count can make the library loop without end. Asked by any message, it answers with the next rows as JSON
// texts (none at the end) or with what is wrong.
import { open } from 'node:fs/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { decompress } from 'fzstd';
import { parquetMetadataAsync, parquetReadObjects } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';

const { path, maxBytes, maxGroupBytes, maxGroupRows, maxTextBytes } = workerData;

/** What is wrong with a file, as its message goes on after the path. */
class Problem extends Error {}

/** Characters of rows that are given at a time. */
const answerSize = 1 << 24;

async function* answers() {
  const handle = await open(path);
  const file = await fileOf(handle);
  const metadata = await parquetMetadataAsync(file);
  checkGroups(metadata.row_groups, file.byteLength);
  let rowStart = 0;
  for (const group of metadata.row_groups) {
    const rowEnd = rowStart + Number(group.num_rows);
    const options = { file, metadata, rowStart, rowEnd, compressors: boundedCompressors(), parsers };
    let texts = [];
    let size = 0;
    for (const row of await parquetReadObjects(options)) {
      const text = JSON.stringify(row, plain);
      rowStart++;
      if (text.length > maxTextBytes) {
        throw new Problem(`:${rowStart}: a row must not be longer than ${maxTextBytes >> 20} MiB`);
      }
      texts.push(text);
      size += text.length;
      if (size < answerSize) continue;
      yield { texts };
      texts = [];
      size = 0;
    }
    if (texts.length > 0) yield { texts };
  }
  await handle.close();
}

const utf8 = new TextDecoder('utf-8', { fatal: true });
const parsers = { stringFromBytes: (bytes) => utf8.decode(bytes) };

/** What JSON has in place of a value. */
function plain(_, value) {
  if (value === undefined) return null;
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : `${value}`;
  return ArrayBuffer.isView(value) ? Array.from(value) : value;
}

async function fileOf(handle) {
  const { size } = await handle.stat();
  return {
    byteLength: size,
    async slice(start, end = size) {
      const bytes = new Uint8Array(Math.max(0, Math.min(end, size) - start));
      for (let at = 0; at < bytes.length; ) {
        const { bytesRead } = await handle.read(bytes, at, bytes.length - at, start + at);
        if (bytesRead === 0) throw new Error('the file has become shorter');
        at += bytesRead;
      }
      return bytes.buffer;
    },
  };
}

/** Refuses what the file says of its groups where that is beyond the bounds. */
function checkGroups(groups, fileBytes) {
  const sizes = groups.map(({ columns, num_rows }) => {
    const total = (key) => columns.reduce((sum, { meta_data }) => sum + Number(meta_data?.[key] ?? 0), 0);
    const [packed, unpacked] = [total('total_compressed_size'), total('total_uncompressed_size')];
    return { packed, unpacked, rows: Number(num_rows) };
  });
  const total = (key) => sizes.reduce((sum, size) => sum + size[key], 0);
  if (total('packed') > fileBytes) throw new Error('its columns are longer than the file');
  if (total('unpacked') > maxBytes) {
    throw new Problem(`: grows to more than ${maxBytes} bytes; write it with less compression`);
  }
  const large = sizes.findIndex(({ unpacked, rows }) => unpacked > maxGroupBytes || rows > maxGroupRows);
  if (large < 0) return;
  throw new Problem(
    `: its row group ${large + 1} has more than ${maxGroupBytes >> 20} MiB or ${maxGroupRows} rows; write smaller ones`,
  );
}

/**
 * The decompressors of pages for one group, which give no more bytes than a group may have, whatever it said.
 */
function boundedCompressors() {
  let bytes = 0;
  const all = { ...compressors, ZSTD: (input, length) => decompress(input, new Uint8Array(length)) };
  const bounded = (unpack) => (input, length) => {
    bytes += length;
    if (bytes <= maxGroupBytes) return unpack(input, length);
    throw new Problem(`: a row group grows to more than ${maxGroupBytes >> 20} MiB`);
  };
  return Object.fromEntries(Object.entries(all).map(([codec, unpack]) => [codec, bounded(unpack)]));
}

const all = answers();
parentPort.on('message', async () => {
  try {
    const { value = { texts: [] } } = await all.next();
    parentPort.postMessage(value);
  } catch (error) {
    parentPort.postMessage({ problem: error instanceof Problem ? error.message : damage(error) });
  }
});

function damage({ message }) {
  return `: is not whole Parquet (${message}); fetch it again`;
}
