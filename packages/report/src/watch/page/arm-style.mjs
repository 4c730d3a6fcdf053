/**
 * @import { ArmRecord } from '@flex/study'
 */

/**
 * How the lines of an arm look: a colour of the palette by its name, and a dash.
 * @typedef {{ hue: string, dash: number[] }} ArmStyle
 */

/** Of combinations of levels. */
export const hues = ['blue', 'orange', 'green', 'purple', 'ochre', 'grey'];

/**
 * Dashes of controls: what an arm is a control of has its colour, and the dash says how it differs.
 * @type {Record<ArmRecord['controls'][number]['kind'], number[]>}
 */
const dashes = {
  unpenalized: [1, 3],
  'matched-l2': [7, 4],
  'permuted-frequencies': [7, 3, 1, 3],
  'permuted-order': [7, 3, 1, 3],
};

/**
 * The styles of a study's arms: a colour for each combination of levels and, for an arm that is there as a
 * control alone, the colour of the first arm that it is a control of, dashed.
 * @param {readonly ArmRecord[]} arms
 * @returns {Map<string, ArmStyle>}
 */
export function armStyles(arms) {
  const levels = arms.filter(({ isLevel }) => isLevel);
  const hueOf = new Map(levels.map(({ name }, i) => [name, hues[i % hues.length]]));
  return new Map(
    arms.map(({ name, isLevel, controls: [control] }) => [
      name,
      {
        hue: hueOf.get(isLevel || !control ? name : control.of) ?? hues[0],
        dash: isLevel || !control ? [] : dashes[control.kind],
      },
    ]),
  );
}
