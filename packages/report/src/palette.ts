/** A colour by its name in pages and charts; what it is in light and in dark, the page's style says. */
export type Colour = keyof typeof light;

/** Of series: pairs that colour-blind people tell apart (after Okabe and Ito), 3:1 or more on their paper. */
export const light = {
  paper: '#ffffff',
  raised: '#f6f7f9',
  ink: '#1b1f24',
  soft: '#57606a',
  rule: '#d8dee4',
  band: '#c9d1d9',
  blue: '#0072b2',
  orange: '#c65300',
  green: '#0b8f6b',
  purple: '#9a2f7a',
  ochre: '#8a6d00',
  grey: '#30363d',
  less3: '#0b4f86',
  less2: '#4a90c4',
  less1: '#a8cbe4',
  even: '#eceff2',
  more1: '#f2c2a0',
  more2: '#dd8047',
  more3: '#a34100',
};

export const dark: Readonly<Record<Colour, string>> = {
  paper: '#14171b',
  raised: '#1d2126',
  ink: '#e2e6ea',
  soft: '#a7b0ba',
  rule: '#363c44',
  band: '#4a525c',
  blue: '#56b4e9',
  orange: '#f0904c',
  green: '#3cc39a',
  purple: '#d070c8',
  ochre: '#e0bf4e',
  grey: '#c9d1d9',
  less3: '#7cc4f5',
  less2: '#3f86b8',
  less1: '#28506d',
  even: '#2a2f36',
  more1: '#6b432a',
  more2: '#b8642f',
  more3: '#ff9d5c',
};

/** Of lists of at most six. */
export const seriesColours = ['blue', 'orange', 'green', 'purple', 'ochre', 'grey'] as const;

/** The colour as CSS and SVG take it. */
export const css = (colour: Colour): string => `var(--${colour})`;

/** The palette as CSS: light, and dark where the reader's system is; paper that is printed on is light. */
export function paletteStyle(root: string): string {
  const rules = (palette: Readonly<Record<Colour, string>>) =>
    Object.entries(palette)
      .map(([name, value]) => `--${name}:${value}`)
      .join(';');
  return `${root}{${rules(light)}}\n@media screen and (prefers-color-scheme:dark){${root}{${rules(dark)}}}`;
}

/** A drawing with the light palette's own values, for what knows no CSS. */
export function inLight(svg: string): string {
  return svg.replace(/var\(--(\w+)\)/g, (_, name: Colour) => light[name]);
}
