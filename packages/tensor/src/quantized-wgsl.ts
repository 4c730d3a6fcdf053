import { isQuantized, layoutOf, nf4Values } from './quantized.ts';
import { nf4Block, nf4Group, type QuantizedDType, scaleValues } from './quantized-layout.ts';
import type { DType, Spec } from './shape.ts';

/** The params by which a kernel finds the scales of the input that it calls `name`; of plain ones none. */
export function scaleParams(name: string, spec: Spec): Readonly<Record<string, number>> {
  if (!isQuantized(spec)) return {};
  const { scales, groups } = layoutOf(spec);
  return {
    [`${name}Scales`]: scales,
    ...(spec.dtype === 'nf4' ? { [`${name}Groups`]: groups } : { [`${name}Columns`]: spec.shape.at(-1)! }),
  };
}

/**
 * WGSL functions of the elements of a quantized input, bound as words: `nameFour(index)`, four from a multiple
 * of 4 on without their scale, vec4f; `nameEight(index)`, eight from a multiple of 8 on, mat2x4f;
 * `nameScale(index)` of an element, f32, which neighbours in a row share, in nf4 up to the next multiple of 64;
 * `nameValue(index)`, f32. Of plain inputs nothing.
 */
export function scaleWgsl(name: string, dtype: DType): string {
  return dtype === 'int8' || dtype === 'nf4' ? declarations[dtype](name) : '';
}

const declarations: Record<QuantizedDType, (name: string) => string> = {
  int8: (name) => `fn ${name}Four(index: u32) -> vec4f {
  return vec4f(bitcast<vec4i>(vec4u(${name}[index >> 2u]) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u));
}
fn ${name}Eight(index: u32) -> mat2x4f { return mat2x4f(${name}Four(index), ${name}Four(index + 4u)); }
fn ${name}Scale(index: u32) -> f32 {
  return bitcast<f32>(${name}[p.${name}Scales + index / p.${name}Columns]);
}
${elementOf(name)}`,
  nf4: (name) => `fn nf4Of(codes: vec4u) -> vec4f {
${nf4Tree()}
}
fn ${name}Four(index: u32) -> vec4f {
  let halfWord = ${name}[index >> 3u] >> ((index & 4u) << 2u);
  return nf4Of((vec4u(halfWord) >> vec4u(4u, 0u, 12u, 8u)) & vec4u(15u));
}
fn ${name}Eight(index: u32) -> mat2x4f {
  let word = vec4u(${name}[index >> 3u]);
  let codes = vec4u(15u);
  return mat2x4f(
    nf4Of((word >> vec4u(4u, 0u, 12u, 8u)) & codes), nf4Of((word >> vec4u(20u, 16u, 28u, 24u)) & codes));
}
fn ${name}Scale(index: u32) -> f32 {
  let block = index / ${nf4Block}u;
  let word = ${name}[p.${name}Scales + ${scaleValues + 1}u + block / 4u];
  let value = bitcast<f32>(${name}[p.${name}Scales + ((word >> ((block & 3u) * 8u)) & 255u)]);
  let group = bitcast<f32>(${name}[p.${name}Groups + block / ${nf4Group}u]);
  return value * group + bitcast<f32>(${name}[p.${name}Scales + ${scaleValues}u]);
}
${elementOf(name)}`,
};

const elementOf = (name: string): string => `fn ${name}Value(index: u32) -> f32 {
  return ${name}Four(index & ~3u)[index & 3u] * ${name}Scale(index);
}`;

/** The value of each code by choices between two, bit by bit: a table would be read lane by lane. */
function nf4Tree(): string {
  const lines: string[] = [];
  let names = [...nf4Values].map((value) => `vec4f(${value.toPrecision(9)})`);
  for (let bit = 0; names.length > 1; bit++) {
    lines.push(`  let is${bit} = (codes & vec4u(${1 << bit}u)) != vec4u(0u);`);
    const chosen = names.flatMap((no, i) =>
      i % 2 === 0 ? [`select(${no}, ${names[i + 1]}, is${bit})`] : [],
    );
    names = chosen.map((_, i) => `v${bit}_${i}`);
    lines.push(...chosen.map((text, i) => `  let ${names[i]} = ${text};`));
  }
  return [...lines, `  return ${names[0]};`].join('\n');
}
