import { expect, test } from 'vitest';
import { type Colour, dark, inLight, light, seriesColours } from './palette.ts';

const palettes = { light, dark };
const channels = (hex: string) => [1, 3, 5].map((i) => Number.parseInt(hex.slice(i, i + 2), 16) / 255);
const linear = (hex: string) =>
  channels(hex).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));

/** WCAG's contrast of two colours. */
function contrast(a: string, b: string): number {
  const [dim, bright] = [a, b]
    .map(linear)
    .map(([red, green, blue]) => 0.2126 * red + 0.7152 * green + 0.0722 * blue)
    .sort((x, y) => x - y);
  return (bright + 0.05) / (dim + 0.05);
}

/** What is seen without one kind of cone: Viénot, Brettel and Mollon 1999, linear RGB. */
const seenBy = {
  everybody: (rgb: number[]) => rgb,
  protanopes: ([r, g, b]: number[]) => [
    0.11238 * r + 0.88762 * g,
    0.11238 * r + 0.88762 * g,
    0.00401 * (r - g) + b,
  ],
  deuteranopes: ([r, g, b]: number[]) => [
    0.29275 * r + 0.70725 * g,
    0.29275 * r + 0.70725 * g,
    0.02234 * (g - r) + b,
  ],
};

/** Distance in CIE L*a*b* (D65). */
function distance(a: number[], b: number[]): number {
  const lab = ([r, g, blue]: number[]) => {
    const [x, y, z] = [
      (0.4124 * r + 0.3576 * g + 0.1805 * blue) / 0.9505,
      0.2126 * r + 0.7152 * g + 0.0722 * blue,
      (0.0193 * r + 0.1192 * g + 0.9505 * blue) / 1.089,
    ].map((t) => (t > 0.008856 ? Math.cbrt(t) : 7.787 * t + 16 / 116));
    return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
  };
  const [p, q] = [lab(a), lab(b)];
  return Math.hypot(...p.map((value, i) => value - q[i]));
}

test.each(['light', 'dark'] as const)('%s: text and series can be read on their paper', (name) => {
  const palette: Readonly<Record<Colour, string>> = palettes[name];
  for (const ink of ['ink', 'soft', 'blue'] as const) {
    for (const paper of ['paper', 'raised'] as const)
      expect(contrast(palette[ink], palette[paper])).toBeGreaterThan(4.5);
  }
  for (const colour of seriesColours) expect(contrast(palette[colour], palette.paper)).toBeGreaterThan(3);
});

const controls = ['blue', 'grey', 'orange', 'green', 'purple'] as const;

test.each(Object.entries(seenBy))('%s tell an arm from its controls in both', (_, seen) => {
  for (const palette of Object.values(palettes)) {
    const colours = controls.map((colour) => seen(linear(palette[colour])));
    for (const [i, one] of colours.entries())
      for (const other of colours.slice(i + 1)) expect(distance(one, other)).toBeGreaterThan(14);
  }
});

test('a drawing in light has no name of a colour left', () => {
  const named = Object.keys(light).map((colour) => `fill="var(--${colour})"`);
  expect(inLight(named.join(' '))).toBe(
    Object.values(light)
      .map((hex) => `fill="${hex}"`)
      .join(' '),
  );
});
