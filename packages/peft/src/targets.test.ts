import { ConfigError } from '@flex/base';
import { expect, it } from 'vitest';
import type { Limits } from './adapted-modules.ts';
import type { LoraConfig } from './lora.ts';
import { peftTargets, requireEffect, resolveTargets, type Targets } from './targets.ts';
import { llamaLinears } from './testing/llama-linears.ts';

const linears = llamaLinears(3);
const chosen = (targets: Parameters<typeof resolveTargets>[0]) => [
  ...resolveTargets(targets, linears).keys(),
];

it('mlp is gate, up and down of every layer, in model order and with their sizes', () => {
  expect(chosen('mlp').slice(0, 4)).toEqual([
    'model.layers.0.mlp.gate_proj',
    'model.layers.0.mlp.up_proj',
    'model.layers.0.mlp.down_proj',
    'model.layers.1.mlp.gate_proj',
  ]);
  expect(chosen('mlp')).toHaveLength(9);
  expect(resolveTargets('mlp', linears).get('model.layers.2.mlp.down_proj')).toEqual({ out: 64, in: 172 });
});

it('mlp is c_fc and c_proj of layers that have these', () => {
  const plain = new Map(
    [0, 1].flatMap((i) =>
      ['self_attn.q_proj', 'mlp.c_fc', 'mlp.c_proj'].map(
        (name) => [`model.layers.${i}.${name}`, { out: 4, in: 4 }] as const,
      ),
    ),
  );
  const paths = (targets: Targets) => [...resolveTargets(targets, plain).keys()];
  expect(paths('mlp')).toEqual([...plain.keys()].filter((path) => path.includes('.mlp.')));
  expect(paths('attention')).toEqual([...plain.keys()].filter((path) => path.includes('.q_proj')));
  expect(paths('all-linear')).toEqual([...plain.keys()]);
  expect(peftTargets('mlp', ['model.layers.1.mlp.c_proj'])).toEqual(['c_fc', 'c_proj']);
});

it('attention is q, k, v and o, and all-linear is everything but lm_head', () => {
  expect(chosen('attention').slice(0, 4)).toEqual(
    ['q_proj', 'k_proj', 'v_proj', 'o_proj'].map((name) => `model.layers.0.self_attn.${name}`),
  );
  expect(chosen('attention')).toHaveLength(12);
  expect(chosen('all-linear')).toEqual([...linears.keys()].filter((path) => path !== 'lm_head'));
});

it('names are ends of paths, whatever their order, and twice the same counts once', () => {
  const names = ['down_proj', 'q_proj', 'model.layers.1.mlp.down_proj'];
  expect(chosen(names).slice(0, 2)).toEqual([
    'model.layers.0.self_attn.q_proj',
    'model.layers.0.mlp.down_proj',
  ]);
  expect(chosen(names)).toHaveLength(6);
  expect(chosen(['lm_head'])).toEqual(['lm_head']);
  expect(chosen(['mlp.up_proj'])).toHaveLength(3);
});

it('globs are over whole paths', () => {
  expect(chosen(['model.layers.1.mlp.*'])).toHaveLength(3);
  expect(chosen(['*.layers.[0-1].*.up_proj'])).toHaveLength(2);
  expect(chosen(['*.layers.[!0].mlp.up_proj'])).toHaveLength(2);
  expect(chosen(['*?_proj'])).toHaveLength(21);
  expect(() => chosen(['*_pro'])).toThrow(ConfigError);
  expect(() => chosen(['modelXlayers*'])).toThrow(ConfigError);
});

it('a pattern is over whole paths, and excluded modules and other layers are left out, as in PEFT', () => {
  const paths = (targets: Targets, limits: Limits) => [...resolveTargets(targets, linears, limits).keys()];
  expect(paths('.*\\.(q|v)_proj', {})).toHaveLength(6);
  expect(paths('.*layers\\.[01].*up_proj', { excludeModules: '.*0.*' })).toEqual([
    'model.layers.1.mlp.up_proj',
  ]);
  expect(paths('all-linear', { excludeModules: ['mlp.up_proj', 'o_proj'] })).toHaveLength(15);
  expect(paths('mlp', { layersToTransform: [0, 2], layersPattern: 'layers' })).toHaveLength(6);
  expect(paths(['model.layers.1.mlp.up_proj', 'q_proj'], { layersToTransform: 2 })).toEqual([
    'model.layers.1.mlp.up_proj',
    'model.layers.2.self_attn.q_proj',
  ]);
  const wrong: [Targets, Limits, string][] = [
    ['.*prj', {}, 'lora.targets: ".*prj" leaves no linear layer'],
    ['mlp', { excludeModules: '.*' }, 'lora.targets: "mlp" leaves no linear layer'],
    ['(', {}, 'lora.targets: is not a pattern of module names'],
    ['mlp', { excludeModules: '(' }, 'lora.exclude_modules: is not a pattern of module names'],
    ['mlp', { layersPattern: 'h' }, 'lora.layers_pattern: needs "layers_to_transform"'],
    ['.*up_proj', { layersToTransform: 1 }, 'lora.layers_to_transform: needs a list of names'],
  ];
  for (const [targets, limits, message] of wrong) expect(() => paths(targets, limits)).toThrow(message);
});

it('what names ranks, alphas or excluded modules and means no layer is refused', () => {
  const lora = { rank: 2, alpha: 4, dropout: 0, targets: 'mlp', scaling: 'alpha/r' } as const;
  const paths = [...resolveTargets('mlp', linears).keys()];
  const check = (more: Partial<LoraConfig>) => requireEffect({ ...lora, ...more }, paths, linears);
  check({ rankPattern: { 'layers.1.*up_proj': 3 }, alphaPattern: { gate_proj: 8 } });
  check({ excludeModules: ['q_proj', 'lm_head'] });
  check({ excludeModules: '.*mlp.*' });
  const wrong: [Partial<LoraConfig>, string][] = [
    [
      { rankPattern: { up_proj: 3, gate_prj: 3 } },
      'lora.rank_pattern: "gate_prj" means none of the layers that get an adapter; the nearest are gate_proj',
    ],
    [{ alphaPattern: { q_proj: 3 } }, 'lora.alpha_pattern: "q_proj" means none of the layers'],
    [{ alphaPattern: { '([': 3 } }, 'lora.alpha_pattern: "([" is not a pattern of module names'],
    [{ excludeModules: ['q_proj', 'mlp'] }, 'lora.exclude_modules: "mlp" means no layer of the model'],
    [{ excludeModules: '.*q_prj' }, 'lora.exclude_modules: ".*q_prj" means no layer of the model'],
  ];
  for (const [more, message] of wrong) expect(() => check(more)).toThrow(message);
});

it('a name that matches nothing is refused, with the nearest known names', () => {
  expect(() => chosen(['q_proj', 'gate_prj'])).toThrow(
    new ConfigError(
      'lora.targets: "gate_prj" matches no linear layer of the model; the nearest are gate_proj, q_proj, k_proj',
    ),
  );
  expect(() => chosen(['model.layers.0.mlp.up'])).toThrow('model.layers.0.mlp.up_proj');
  expect(() => chosen(['roj'])).toThrow(ConfigError);
  expect(() => chosen([])).toThrow('is empty');
  expect(() => chosen('mlps' as 'mlp')).toThrow('"mlps" is none of mlp, attention, all-linear');
});
