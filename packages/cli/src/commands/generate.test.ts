import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Completion, openInfill, openTokenizer } from '@flex/llama';
import { fabricateModel } from '@flex/llama/testing';
import { describe, expect, test } from 'vitest';
import { flex } from '../testing/flex.ts';

const micro = join(import.meta.dirname, '../../assets/micro');
const common = ['generate', '--model', micro, '--device', 'cpu', '--quiet', '--prompt', 'def add(a, b):'];

async function completions(...args: string[]): Promise<readonly Completion[]> {
  const { code, stdout, stderr } = await flex(...common, '--json', ...args);
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout).completions;
}

test('n samples are those of n seeds', async () => {
  const sampled = ['--temperature', '1.5', '--min-p', '0.02', '--max-new-tokens', '6'];
  const together = await completions(...sampled, '--n', '3', '--seed', '7');
  expect(together).toHaveLength(3);
  const alone = await completions(...sampled, '--seed', '8');
  expect(together[1].ids).toEqual(alone[0].ids);
  expect(together[0].ids).not.toEqual(together[1].ids);
});

test('log-probabilities stand beside the ids, greedy and with beams', async () => {
  const asked = ['--max-new-tokens', '3', '--logprobs', '2'];
  for (const more of [[], ['--num-beams', '2', '--length-penalty', '0.5']]) {
    const [{ ids, logprobs }] = await completions(...asked, ...more);
    expect(logprobs!.map(({ id }) => id)).toEqual(ids);
    for (const { alternatives, logprob } of logprobs!) {
      expect(alternatives).toHaveLength(2);
      expect(logprob).toBeLessThanOrEqual(alternatives[0].logprob);
    }
  }
});

test('a bias and a penalty change what comes, and a stop text ends beams', async () => {
  const [greedy] = await completions('--max-new-tokens', '4');
  const [biased] = await completions('--max-new-tokens', '1', '--logit-bias', `${greedy.ids[0]}=-100`);
  expect(biased.ids[0]).not.toBe(greedy.ids[0]);
  const [penalized] = await completions('--max-new-tokens', '20', '--frequency-penalty', '100');
  expect(new Set(penalized.ids).size).toBe(penalized.ids.length);
  const stop = '"""';
  const [stopped] = await completions('--max-new-tokens', '9', '--num-beams', '3', '--stop', stop);
  expect(stopped.finish).toBe('stop');
  expect(stopped.text).not.toContain(stop);
});

test('what fills a gap is asked for as the model was trained, and ends at its end', async () => {
  const model = mkdtempSync(join(tmpdir(), 'flex-infill-'));
  const sizes = { hidden_size: 16, intermediate_size: 24, num_hidden_layers: 1, vocab_size: 400 };
  const heads = { num_attention_heads: 2, num_key_value_heads: 2 };
  fabricateModel(model, { dtype: 'F32', config: { ...sizes, ...heads } });
  const tokenizer = openTokenizer(model);
  const ids = openInfill(tokenizer).prompt('def f(x):', 'return y');
  const asked = ['--model', model, '--device', 'cpu', '--quiet', '--json', '--max-new-tokens', '4'];
  const completion = async (...more: string[]): Promise<Completion> => {
    const { code, stdout, stderr } = await flex('generate', ...asked, ...more);
    expect(code, stderr).toBe(0);
    return JSON.parse(stdout).completions[0];
  };
  const gap = ['--prompt', 'def f(x):', '--suffix', 'return y'];
  expect(await completion(...gap)).toEqual(await completion('--ids', ids.join()));
  const end = ['--logit-bias', `${tokenizer.idOf('▁<EOT>')}=1000`];
  for (const beams of [[], ['--num-beams', '2']]) {
    expect(await completion(...gap, ...end, ...beams)).toMatchObject({ text: '', finish: 'eos' });
  }
  const alone = await flex('generate', ...asked, '--ids', '1', '--suffix', 'x');
  expect(alone.stderr).toContain('--suffix: needs --prompt, which it follows');
  rmSync(model, { recursive: true });
});

describe('is refused in a line', () => {
  test.each<[string[], string]>([
    [['--n', '2'], '--n: above 1 needs --temperature above 0'],
    [['--n', '2', '--temperature', '1', '--num-beams', '2'], '--n: above 1 takes no --num-beams'],
    [['--logprobs', '1'], '--logprobs: needs --json'],
    [['--suffix', 'x'], 'the tokenizer has no tokens for infilling'],
    [['--min-p', '0.2'], '--min-p: need --temperature above 0'],
    [['--temperature', '1', '--min-p', '2'], 'min-p must be in [0, 1], got 2'],
    [['--length-penalty', '2'], '--length-penalty and --early-stopping: need --num-beams above 1'],
    [['--early-stopping'], '--length-penalty and --early-stopping: need --num-beams above 1'],
    [['--num-beams', '2', '--early-stopping', 'soon'], 'Allowed choices are never'],
    [['--num-beams', '0'], 'num-beams must be a whole number of at least 1, got 0'],
    [['--repetition-penalty', '0'], 'repetition-penalty must be a number above 0, got 0'],
    [['--logit-bias', '5:1'], 'It must be a token id, = and a number, such as 5=-2.5.'],
    [['--logit-bias', '9999=1'], 'logit-bias: 9999 is not in the vocabulary of 2048 tokens'],
  ])('%j', async (args, words) => {
    const { code, stdout, stderr } = await flex(...common, ...args);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(stderr).toContain(words);
  });
});
