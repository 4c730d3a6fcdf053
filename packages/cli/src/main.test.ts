import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSafetensors, type TensorToWrite, toFloat32, writeSafetensors } from '@flex/tensor/safetensors';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { flex } from './testing/flex.ts';

const assets = join(import.meta.dirname, '../assets');
const micro = join(assets, 'micro');
const tasks = join(assets, 'quickstart/tasks.jsonl');

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'flex-cli-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A copy of the bundled model with other keys in config.json, and tensors of its own in f32. */
function copyModel(
  changes: object,
  tensors: Readonly<Record<string, (data: Float32Array) => void>> = {},
): string {
  const dir = join(folder, 'model');
  cpSync(micro, dir, { recursive: true });
  const config = JSON.parse(readFileSync(join(micro, 'config.json'), 'utf8'));
  writeFileSync(join(dir, 'config.json'), JSON.stringify({ ...config, ...changes }));
  const file = openSafetensors(join(micro, 'model.safetensors'));
  const copied = new Map<string, TensorToWrite>();
  for (const [name, { dtype, shape }] of file.tensors) {
    const bytes = file.read(name);
    copied.set(name, { dtype, shape, data: bytes });
    if (!tensors[name]) continue;
    const data = toFloat32(dtype, bytes);
    tensors[name](data);
    copied.set(name, { dtype: 'F32', shape, data });
  }
  file.close();
  writeSafetensors(join(dir, 'model.safetensors'), copied);
  return dir;
}

const small = (...more: string[]) => [
  'train',
  '--device',
  'cpu',
  `model=${micro}`,
  `data.source=${tasks}`,
  'data.split=1-4',
  'data.max_length=72',
  'train.batch_size=2',
  'train.epochs=1',
  'train.save_every=0',
  `out=${join(folder, 'run')}`,
  ...more,
];

/** One line on standard error that says all of `words`, exit code 2, nothing else. */
function expectRefused(result: { code: number; stdout: string; stderr: string }, ...words: string[]): void {
  expect(result.code).toBe(2);
  const lines = result.stderr.split('\n').filter((line) => line.includes('flex:') || /^\s+at /.test(line));
  expect(lines, result.stderr).toHaveLength(1);
  for (const word of words) expect(lines[0]).toContain(word);
  expect(result.stdout).toBe('');
}

describe('bad input is one clear line and exit code 2', () => {
  test('a wrong key, with the nearest right one', async () => {
    expectRefused(await flex(...small('optimizer.lrr=1')), 'optimizer.lrr', 'optimizer.lr');
  });
  test('a value of the wrong type', async () => {
    expectRefused(await flex(...small('train.batch_size=0')), 'train.batch_size', 'at least 1');
  });
  test('a wrong key in a file, with its line', async () => {
    const file = join(folder, 'run.yaml');
    writeFileSync(
      file,
      `model: ${micro}\ndata: {source: ${tasks}}\nout: ${folder}/r\noptimizer:\n  lrate: 1\n`,
    );
    expectRefused(await flex('train', file), 'run.yaml:5', 'lrate');
  });
  test('a missing model', async () => {
    expectRefused(await flex(...small('model=nowhere')), 'nowhere');
    expect(existsSync(join(folder, 'run'))).toBe(false);
  });
  test('a half-written safetensors file', async () => {
    cpSync(micro, join(folder, 'model'), { recursive: true });
    truncateSync(join(folder, 'model/model.safetensors'), 1_000_000);
    expectRefused(await flex(...small(`model=${join(folder, 'model')}`)), 'model.safetensors');
  });
  test('a row with a missing field, with its line', async () => {
    const rows = readFileSync(tasks, 'utf8').split('\n').slice(0, 3);
    const { code: _, ...rest } = JSON.parse(rows[2]) as Record<string, unknown>;
    writeFileSync(join(folder, 'rows.jsonl'), [rows[0], rows[1], JSON.stringify(rest)].join('\n'));
    expectRefused(await flex(...small(`data.source=${join(folder, 'rows.jsonl')}`)), 'rows.jsonl:3');
  });
  test('an adapter for another model', async () => {
    const done = await flex(...small('train.max_steps=1', '--quiet'));
    expect(done.code).toBe(0);
    cpSync(micro, join(folder, 'other'), { recursive: true });
    const config = JSON.parse(readFileSync(join(micro, 'config.json'), 'utf8'));
    writeFileSync(join(folder, 'other/config.json'), JSON.stringify({ ...config, num_hidden_layers: 2 }));
    const prompt = ['--prompt', 'def f(', '--device', 'cpu'];
    const other = ['--model', join(folder, 'other'), '--adapter', join(folder, 'run/adapter')];
    expectRefused(await flex('generate', ...other, ...prompt), 'another model');
  });
  test('a weight beyond f16 where f16 is asked for by name', async () => {
    const up = 'model.layers.0.mlp.up_proj.weight';
    const model = copyModel({ dtype: 'bfloat16' }, { [up]: (data) => data.fill(70000, 7, 8) });
    const words = [up, '70000', '65504', 'take dtype f32'];
    const asked = ['--model', model, '--ids', '1,5', '--device', 'cpu', '--dtype', 'f16'];
    expectRefused(await flex('generate', ...asked), ...words);
    expectRefused(await flex(...small(`model=${model}`, 'dtype=f16')), ...words);
  });
  test('a run folder that holds a run', async () => {
    expect((await flex(...small('train.max_steps=1', '--quiet'))).code).toBe(0);
    expectRefused(await flex(...small('train.max_steps=1')), '--overwrite');
    expect((await flex(...small('train.max_steps=1', '--quiet', '--overwrite'))).code).toBe(0);
  });
  test('ids outside the vocabulary, ragged rows, left padding', async () => {
    const input = join(folder, 'ids.json');
    const logits = (content: object) => {
      writeFileSync(input, JSON.stringify(content));
      return flex(
        'logits',
        '--model',
        micro,
        '--input',
        input,
        '--out',
        join(folder, 'o.safetensors'),
        '--device',
        'cpu',
      );
    };
    expectRefused(await logits({ input_ids: [[1, 99999]] }), '99999');
    expectRefused(await logits({ input_ids: [[1, 2], [3]] }), 'input_ids.1');
    expectRefused(await logits({ input_ids: [[1, 2]], attention_mask: [[0, 1]] }), 'right');
    expectRefused(await logits({ ids: [[1, 2]] }), '"input_ids" must be a list');
    expectRefused(await logits({ input_ids: [[1, 2.5]] }), '"input_ids.0.1" must be a whole number');
    expect(existsSync(join(folder, 'o.safetensors'))).toBe(false);
  });
  test.each([[['frobnicate']], [['train', '--colour']], [['generate']], [['train', 'a=1', 'b']]])(
    '%j',
    async (args) => {
      expect((await flex(...args)).code).toBe(2);
    },
  );
});

describe('commands', () => {
  test('train prints JSON lines and nothing else with --json, and its adapter changes the logits', async () => {
    const { code, stdout } = await flex(...small('--json'));
    expect(code).toBe(0);
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines.map((l) => l.step ?? l.status)).toEqual([1, 2, 'done']);
    const input = join(folder, 'ids.json');
    writeFileSync(
      input,
      JSON.stringify({
        input_ids: [
          [1, 5, 9],
          [1, 7, 0],
        ],
        attention_mask: [
          [1, 1, 1],
          [1, 1, 0],
        ],
      }),
    );
    const run = async (name: string, ...more: string[]) => {
      const out = join(folder, name);
      const result = await flex(
        'logits',
        '--model',
        micro,
        '--input',
        input,
        '--out',
        out,
        '--device',
        'cpu',
        ...more,
      );
      expect(result.code, result.stderr).toBe(0);
      const file = openSafetensors(out);
      expect(file.tensors.get('logits')?.shape).toEqual([2, 3, 2048]);
      const values = toFloat32('F32', file.read('logits'));
      file.close();
      return values;
    };
    const base = await run('base.safetensors');
    const adapted = await run('adapted.safetensors', '--adapter', join(folder, 'run/adapter'));
    expect(base.slice(5 * 2048).every((x) => x === 0)).toBe(true);
    expect(base.some((x, i) => x !== adapted[i])).toBe(true);
  });

  test('warnings come on standard error, even with --quiet and --json', async () => {
    const up = 'model.layers.0.mlp.up_proj.weight';
    const model = copyModel(
      { tie_word_embeddings: true, dtype: 'bfloat16' },
      { [up]: (data) => data.fill(70000, 7, 8) },
    );
    expect((await flex(...small('train.max_steps=1', '--quiet'))).code).toBe(0);
    const adapter = join(folder, 'run/adapter');
    const file = join(adapter, 'adapter_config.json');
    const config = JSON.parse(readFileSync(file, 'utf8'));
    writeFileSync(file, JSON.stringify({ ...config, layers_to_transform: [0] }));
    const common = ['--device', 'cpu', '--quiet', '--json'];
    const ids = ['--ids', '1,5', '--max-new-tokens', '1'];
    const generated = await flex('generate', '--model', model, '--adapter', adapter, ...ids, ...common);
    expect(generated.code, generated.stderr).toBe(0);
    expect(JSON.parse(generated.stdout).completions).toHaveLength(1);
    const tied = /config\.json ties lm_head\.weight .* both are used/;
    const wide = /holds 70000, .*; matrices kept in f32: 1$/;
    const narrow = /adapter_config\.json: does not mean 15 of the 18 modules .* passed over/;
    const lines = generated.stderr.trim().split('\n');
    expect(lines).toHaveLength(3);
    for (const [i, warning] of [tied, wide, narrow].entries()) expect(lines[i]).toMatch(warning);
    const spectrum = await flex('spectrum', '--adapter', adapter, ...common);
    expect(spectrum.stderr).toMatch(narrow);
    const again = [`model=${model}`, 'dtype=f32', `adapter=${adapter}`, `out=${join(folder, 'again')}`];
    const trained = await flex(...small(...again, 'train.max_steps=1', '--quiet'));
    expect(trained.code, trained.stderr).toBe(0);
    expect(trained.stderr).toMatch(tied);
    expect(trained.stderr).toMatch(narrow);
  });

  test('logits that are not finite end generate and logits with one line and exit code 1', async () => {
    const damaged = 'model.layers.1.mlp.up_proj.weight';
    const model = copyModel({}, { [damaged]: (data) => data.fill(Number.NaN, 7, 8) });
    const input = join(folder, 'ids.json');
    const out = join(folder, 'o.safetensors');
    writeFileSync(input, JSON.stringify({ input_ids: [[1, 5]] }));
    const common = ['--model', model, '--device', 'cpu'];
    for (const [place, ...args] of [
      ['at new token 1', 'generate', '--ids', '1,5', '--max-new-tokens', '3', '--json'],
      ['at position 0 of row 0', 'logits', '--input', input, '--out', out],
    ]) {
      const { code, stdout, stderr } = await flex(...args, ...common);
      expect(code).toBe(1);
      expect(stdout).not.toContain('completions');
      expect(stderr.trim().split('\n')).toHaveLength(1);
      expect(stderr).toContain(`the logit of token 0 is NaN ${place}`);
    }
    expect(existsSync(out)).toBe(false);
  });

  test('--print-config gives the resolved whole, which loads again to the same', async () => {
    const first = await flex(...small('--print-config'));
    expect(first.code).toBe(0);
    const file = join(folder, 'printed.yaml');
    writeFileSync(file, first.stdout);
    const second = await flex('train', file, '--print-config');
    expect(second.stdout).toBe(first.stdout);
    expect(existsSync(join(folder, 'run'))).toBe(false);
  });

  test('generate and logits go on beyond the context, and say so', async () => {
    const generate = (model: string) =>
      flex(
        'generate',
        '--model',
        model,
        '--ids',
        '1,5,9',
        '--max-new-tokens',
        '4',
        '--device',
        'cpu',
        '--json',
      );
    const whole = await generate(micro);
    const model = copyModel({ max_position_embeddings: 4 });
    const beyond = await generate(model);
    expect([whole.code, beyond.code, beyond.stdout]).toEqual([0, 0, whole.stdout]);
    expect(whole.stderr).not.toContain('exceed');
    expect(beyond.stderr).toContain("generate: 7 tokens exceed the model's context of 4; ");
    const input = join(folder, 'ids.json');
    writeFileSync(input, JSON.stringify({ input_ids: [[1, 5, 9, 2, 7]] }));
    const asked = ['--model', model, '--input', input, '--out', join(folder, 'l.safetensors')];
    const logits = await flex('logits', ...asked, '--device', 'cpu');
    expect(logits.code, logits.stderr).toBe(0);
    expect(logits.stderr).toContain("logits: 5 tokens exceed the model's context of 4; ");
  });

  test('generate is deterministic, seeds matter, stop texts end it', async () => {
    const args = [
      'generate',
      '--model',
      micro,
      '--prompt',
      'def add(a, b):\n',
      '--max-new-tokens',
      '12',
      '--device',
      'cpu',
      '--json',
    ];
    const ids = async (...more: string[]) => {
      const { stdout, code, stderr } = await flex(...args, ...more);
      expect(code, stderr).toBe(0);
      const { completions } = JSON.parse(stdout) as {
        completions: { ids: number[]; text: string; finish: string }[];
      };
      return completions[0];
    };
    const greedy = await ids();
    expect(greedy.ids.length).toBeGreaterThan(0);
    expect(await ids()).toEqual(greedy);
    const sampled = ['--temperature', '1.5', '--seed'];
    expect(await ids(...sampled, '1')).toEqual(await ids(...sampled, '1'));
    expect((await ids(...sampled, '1')).ids).not.toEqual((await ids(...sampled, '2')).ids);
    const stop = greedy.text.slice(3, 5);
    const cut = await ids('--stop', stop);
    expect(cut.finish).toBe('stop');
    expect(cut.text).toBe(greedy.text.slice(0, greedy.text.indexOf(stop)));
  });

  test('a recipe in TypeScript trains with a regularizer that no package knows', async () => {
    const recipe = join(import.meta.dirname, '../../../recipes/total-variation.ts');
    const { code, stdout, stderr } = await flex(
      'train',
      recipe,
      'data.split=1-4',
      'train.max_steps=2',
      'eval=[]',
      `out=${join(folder, 'run')}`,
      '--device',
      'cpu',
      '--json',
    );
    expect(code, stderr).toBe(0);
    const [first] = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { penalty: number });
    expect(first.penalty).toBeGreaterThan(0);
    const manifest = readFileSync(join(folder, 'run/manifest.json'), 'utf8');
    expect(manifest).toContain('total-variation');
  });

  test('spectrum and doctor answer in JSON', async () => {
    expect((await flex(...small('train.max_steps=1', '--quiet'))).code).toBe(0);
    const spectrum = await flex(
      'spectrum',
      '--adapter',
      join(folder, 'run/adapter'),
      '--json',
      '--device',
      'cpu',
    );
    expect(spectrum.code, spectrum.stderr).toBe(0);
    const { parameters } = JSON.parse(spectrum.stdout) as { parameters: { name: string; bins: number }[] };
    expect(parameters).toHaveLength(36);
    const gate = parameters.find(({ name }) => name.endsWith('layers.0.mlp.gate_proj.lora_A.weight'));
    expect(gate?.bins).toBe((8 * 128) / 2 + 1);
    const doctor = await flex('doctor', '--json');
    expect(doctor.code).toBe(0);
    expect(JSON.parse(doctor.stdout)).toHaveProperty('machine.node', process.version);
  });
});
