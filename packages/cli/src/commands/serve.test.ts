import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { DeviceError } from '@flex/base';
import { temporaryFolder } from '@flex/base/testing';
import { openPeftCase, peftModel } from '@flex/fixtures';
import { afterEach, expect, test, vi } from 'vitest';
import * as device from '../device.ts';
import { flex } from '../testing/flex.ts';

vi.mock('../device.ts', { spy: true });

const micro = join(import.meta.dirname, '../../assets/micro');
const template =
  '{{ bos_token }}{% for m in messages %}{% if m.role == "tool" %}{{ raise_exception("no tools") }}{% endif %}' +
  '{{ m.content }}\n{% endfor %}';
const cpu = ['--device', 'cpu'];

afterEach(() => vi.restoreAllMocks());

/** A model in a folder of this name, with the bundled one's tokenizer and a chat template. */
function chatModel(from: string, name: string): string {
  const dir = join(temporaryFolder(), name);
  cpSync(from, dir, { recursive: true });
  for (const file of ['tokenizer.json', 'tokenizer_config.json']) cpSync(join(micro, file), join(dir, file));
  writeFileSync(join(dir, 'chat_template.jinja'), template);
  return dir;
}

/** Runs flex serve until `use` of its address is done, then asks it to end. */
async function served<T>(args: readonly string[], use: (address: string) => Promise<T>) {
  const ended = flex('serve', ...args, '--port', '0', ...cpu);
  const write = vi.mocked(process.stdout.write);
  let address: string | undefined;
  while (!address) {
    await new Promise((later) => setTimeout(later, 10));
    address = /http:[^"\n]+/.exec(write.mock.calls.map(([text]) => String(text)).join(''))?.[0];
  }
  const used = await use(address);
  process.emit('SIGTERM', 'SIGTERM');
  return { ...(await ended), used };
}

async function json(address: string, body?: object): Promise<Record<string, unknown>> {
  const headers = { 'Content-Type': 'application/json', Connection: 'close' };
  const asked = body && { method: 'POST', headers, body: JSON.stringify(body) };
  return (await fetch(address, asked)).json() as Promise<Record<string, unknown>>;
}

test('flex serve answers by the names of a model and its adapters, until it is asked to end', async () => {
  const model = chatModel(peftModel('base'), 'org-model');
  const [one, other] = ['two/one', 'two/other'].map((name) => openPeftCase(name).dir);
  const args = ['--model', model, '--adapter', one, '--adapter', `second=${other}`];
  const { code, stdout, stderr, used } = await served([...args, '--json', '--quiet'], async (address) => {
    const { data } = await json(`${address}/models`);
    const ids = (data as { id: string }[]).map(({ id }) => id);
    const scores = [];
    for (const id of ids) {
      const asked = { model: id, prompt: [1, 2, 3], max_tokens: 1, logprobs: 0, echo: true };
      scores.push(JSON.stringify((await json(`${address}/completions`, asked)).choices));
    }
    return { ids, scores };
  });
  expect({ code, stderr }).toEqual({ code: 143, stderr: '' });
  expect(used.ids).toEqual(['org-model', 'one', 'second']);
  expect(new Set(used.scores).size).toBe(3);
  expect(JSON.parse(stdout)).toEqual({ address: expect.stringMatching(/\/v1$/), models: used.ids });
});

test('flex serve without a chat template says so', async () => {
  const { code, stdout, stderr } = await served(['--model', micro, '--max-length', '64'], async () => {});
  expect(code).toBe(143);
  expect(stdout).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/v1\n$/);
  expect(stderr).toMatch(
    /models: micro; Ctrl-C ends it\n.*no chat template: it answers \/v1\/completions alone\n/,
  );
});

test('flex serve ends when its device is lost, and says so', async () => {
  const { openBackend } = await vi.importActual<typeof device>('../device.ts');
  let isLost = false;
  vi.mocked(device.openBackend).mockImplementationOnce(async (...args) => {
    const backend = await openBackend(...args);
    const lost = () => Promise.reject(new DeviceError('the device was lost'));
    return { ...backend, read: (source) => (isLost ? lost() : backend.read(source)) };
  });
  const asked = { model: 'micro', prompt: 'x', max_tokens: 1 };
  const { code, stderr, used } = await served(['--model', micro, '--max-length', '64'], async (address) => {
    const { choices } = await json(`${address}/completions`, asked);
    expect(choices).toHaveLength(1);
    isLost = true;
    return await json(`${address}/completions`, { ...asked, prompt: 'another' });
  });
  expect({ code, error: used.error }).toMatchObject({ code: 1, error: { message: 'the device was lost' } });
  expect(stderr).toMatch(/^flex: the device was lost$/m);
});

test('flex chat answers each line of a pipe, and tells programs', async () => {
  const model = chatModel(micro, 'chats');
  const say = (lines: string, ...args: string[]) => {
    vi.spyOn(process, 'stdin', 'get').mockReturnValue(Readable.from([lines]) as typeof process.stdin);
    return flex('chat', '--model', model, '--max-new-tokens', '8', ...cpu, ...args);
  };
  const { code, stdout, stderr } = await say('def f(x):\n/help\ndef g(x):\n', '--temperature', '0', '--json');
  const answers = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect({ code, roles: answers.map(({ role }) => role) }).toEqual({
    code: 0,
    roles: ['assistant', 'assistant'],
  });
  expect(stderr).toMatch(/\/reset begins anew/);
  const plain = await say('def f(x):\n', '--temperature', '0', '--quiet');
  expect(plain.stdout).toBe(`${answers[0].content}\n`);
  const long = await say(`${'x = 1 '.repeat(400)}\n/reset\ndef f(x):\n`, '--temperature', '0');
  expect(long.stderr).toMatch(/the chat's \d+ tokens fill the context of 1024; \/reset begins anew\n/);
  expect(long.stdout).toBe(plain.stdout);
  const system = await say('def f(x):\n', '--temperature', '0', '--system', 'class A:');
  expect(system.stdout).not.toBe(plain.stdout);
});

test('flex chat ends when it is asked to', async () => {
  const input = new PassThrough();
  vi.spyOn(process, 'stdin', 'get').mockReturnValue(input as unknown as typeof process.stdin);
  const ended = flex('chat', '--model', chatModel(micro, 'chats'), ...cpu, '--max-new-tokens', '900');
  const write = vi.mocked(process.stdout.write);
  input.write('def f(x):\n');
  while (write.mock.calls.length < 3) await new Promise((later) => setTimeout(later, 10));
  process.emit('SIGINT', 'SIGINT');
  expect((await ended).code).toBe(130);
});

test('both say in one line what is wrong', async () => {
  const adapter = openPeftCase('two/one').dir;
  for (const [args, words] of [
    [['chat', '--model', micro], /micro: has no chat template/],
    [['serve', '--model', micro, '--max-length', '1025'], /--max-length: .*context of 1024, got 1025/],
    [['serve', '--model', micro, '--batch-size', '0'], /It must be a whole number from 1/],
    [
      ['serve', '--model', micro, '--adapter', `micro=${adapter}`],
      /--adapter: micro is what the model is called/,
    ],
    [['serve', '--model', micro, '--adapter', adapter, '--adapter', adapter], /Two adapters are called one/],
    [['serve', '--model', micro, '--adapter', ''], /It must be a folder, or a name, = and a folder/],
    [['serve', '--model', micro, '--host', '0.0.0.0', ...cpu], /a key is needed: set FLEX_SERVE_KEY/],
    [['serve', '--model', micro, '--memory', '36MB', ...cpu], /memory: decoding takes .*it would fit with/],
  ] as const) {
    const { code, stdout, stderr } = await flex(...args);
    expect({ args, code, stdout }).toEqual({ args, code: 2, stdout: '' });
    expect(stderr).toMatch(words);
    expect(
      stderr
        .trimEnd()
        .split('\n')
        .filter((line) => line.startsWith('flex:')),
    ).toHaveLength(1);
  }
});
