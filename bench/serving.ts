// A server that reads a long prompt: how long the next token of a running stream and /health wait meanwhile,
// and what it does in all.
// tsx serving.ts [--model DIR] [--prompt 2000] [--rounds 5] [--device cpu] [--checkout DIR]
// DIR of --checkout: the server of another checkout of this repository; without a model the bundled one, its
// context lengthened. Needs --model whose context is longer than the prompt.
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';

const here = join(import.meta.dirname, '..');
const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    prompt: { type: 'string', default: '2000' },
    rounds: { type: 'string', default: '5' },
    device: { type: 'string', default: 'cpu' },
    checkout: { type: 'string', default: here },
  },
});
const length = Number(values.prompt);
const agent = new Agent({ keepAlive: true });
const folder = mkdtempSync(join(tmpdir(), 'flex-serving-'));

/** The bundled model with room for the prompt and for what a stream writes meanwhile. */
function longMicro(): string {
  const dir = join(folder, 'micro');
  cpSync(join(here, 'packages/cli/assets/micro'), dir, { recursive: true });
  const file = join(dir, 'config.json');
  const config = { ...JSON.parse(readFileSync(file, 'utf8')), max_position_embeddings: 2 * length + 2048 };
  writeFileSync(file, JSON.stringify(config));
  return dir;
}

/** Runs flex serve; gives its address and its end. */
async function startServer(model: string) {
  const program = join(values.checkout, 'packages/cli/bin/flex.mjs');
  const args = ['serve', '--model', model, '--device', values.device, '--port', '0', '--json'];
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  for await (const text of child.stdout) {
    said += text;
    if (said.includes('\n')) break;
  }
  const { address, models } = JSON.parse(said) as { address: string; models: string[] };
  /** Seconds of processors, which the kernel counts in hundredths; Linux alone. */
  const cpu = () => {
    const fields = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1].split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
  };
  return { address, name: models[0], cpu, end: () => child.kill() };
}

/** Asks; gives the answer, and each piece of it as it comes. */
function ask(address: string, body?: object, onData: (text: string) => void = () => {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { method: body ? 'POST' : 'GET', agent, headers: { 'Content-Type': 'application/json' } };
    const asked = request(address, options, (answer) => {
      let all = '';
      answer.setEncoding('utf8').on('data', (text: string) => {
        all += text;
        onData(text);
      });
      answer.on('end', () => (answer.statusCode === 200 ? resolve(all) : reject(new Error(all))));
    });
    asked.on('error', reject).end(body && JSON.stringify(body));
  });
}

let drawn = 0;
/** Tokens that no prompt before had. */
const ids = (count: number) => Array.from({ length: count }, () => 3 + ((7919 * ++drawn) % 2000));
const median = (numbers: readonly number[]) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1];

const server = await startServer(values.model ?? longMicro());
const completions = `${server.address}/completions`;
const health = server.address.replace(/v1$/, 'health');
const greedy = { model: server.name, temperature: 0, ...{ logit_bias: { 2: -100 } } };
const rounds: { prompt: number; token: number; health: number }[] = [];
const work: { seconds: number; cpu: number; long: boolean }[] = [];
for (let round = 0; round <= Number(values.rounds); round++) {
  let [events, last, longest] = [0, 0, 0];
  const streamed = ask(
    completions,
    { ...greedy, prompt: ids(8), max_tokens: Math.min(2000, length), stream: true },
    () => {
      const now = performance.now();
      if (events++ > 0) longest = Math.max(longest, now - last);
      last = now;
    },
  );
  while (events < 20) await wait(1);
  longest = 0;
  let isRead = false;
  const begun = performance.now();
  const read = ask(completions, { ...greedy, prompt: ids(length), max_tokens: 1 }).then(() => {
    isRead = true;
    return performance.now() - begun;
  });
  let slowest = 0;
  while (!isRead) {
    const asked = performance.now();
    await ask(health);
    slowest = Math.max(slowest, performance.now() - asked);
    await wait(2);
  }
  const prompt = await read;
  // The token that waited has come.
  const token = Math.max(longest, performance.now() - last);
  await streamed;
  const times = [];
  for (const [count, tokens, more] of [
    [24, Math.round(length / 3), 16],
    [48, 40, 48],
  ]) {
    const [from, cpu] = [performance.now(), server.cpu()];
    const texts = Array.from({ length: count }, () =>
      ask(completions, { ...greedy, prompt: ids(tokens), max_tokens: more }),
    );
    await Promise.all(texts);
    times.push({ seconds: (performance.now() - from) / 1000, cpu: server.cpu() - cpu });
  }
  // The first is a warm-up.
  if (round === 0) continue;
  rounds.push({ prompt, token, health: slowest });
  work.push(...times.map((one, i) => ({ ...one, long: i === 0 })));
}
server.end();
agent.destroy();
rmSync(folder, { recursive: true });
const of = (long: boolean, key: 'seconds' | 'cpu') =>
  median(work.filter((one) => one.long === long).map((one) => one[key]));
const milliseconds = (key: 'prompt' | 'token' | 'health') => Math.round(median(rounds.map((r) => r[key])));
console.log(
  JSON.stringify({
    prompt_tokens: length,
    milliseconds: {
      prompt: milliseconds('prompt'),
      next_token_waits: milliseconds('token'),
      health_waits: milliseconds('health'),
    },
    seconds: { long_prompts: of(true, 'seconds'), short_prompts: of(false, 'seconds') },
    cpu_seconds: { long_prompts: of(true, 'cpu'), short_prompts: of(false, 'cpu') },
  }),
);
