import { expect, test } from 'vitest';
import { currentCommit, describeMachine, makeManifest } from './manifest.ts';

const facts = {
  adapter: 'an adapter',
  seeds: { 'train.seed': 3 },
  data: [],
  modules: [],
  model: [],
  protocol: { preset: 'paper' },
};

test('a manifest has the facts of the run, the moment, and the machine', () => {
  const manifest = makeManifest(facts);
  expect(manifest).toMatchObject({ kind: 'flex-run', resumed: [], ...facts });
  expect(Math.abs(Date.parse(manifest.started) - Date.now())).toBeLessThan(60_000);
  const { cores, memory_bytes, cpu, os } = describeMachine();
  expect(manifest.machine).toEqual({ cores, memory_bytes, cpu, os });
  expect(cores).toBeGreaterThanOrEqual(1);
  expect(memory_bytes).toBeGreaterThan(2 ** 20);
  expect(JSON.parse(JSON.stringify(manifest))).toEqual(manifest);
});

test('a manifest has the versions of Node, of flex and of what flex computes with', () => {
  const { versions } = makeManifest(facts);
  expect(versions.node).toBe(process.versions.node);
  for (const name of ['flex', 'webgpu', 'gpu.js', 'pure-rand'])
    expect(versions[name]).toMatch(/^\d+\.\d+\.\d+/);
  expect(Object.keys(versions).filter((name) => name.startsWith('@flex/'))).toEqual([]);
});

test('the commit is a hash, or null outside a checkout', () => {
  const commit = currentCommit();
  if (commit !== null) expect(commit.hash).toMatch(/^[0-9a-f]{40}$/);
});
