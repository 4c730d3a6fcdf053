import type { ArmRecord } from '@flex/study';
import { type Colour, seriesColours } from './palette.ts';

/** Arms that are drawn together. */
export interface ArmGroup {
  readonly title: string;
  readonly members: readonly ArmMember[];
}

export interface ArmMember {
  readonly arm: string;
  /** What it is in the group: its kind as a control, or its own name. */
  readonly label: string;
  readonly colour: Colour;
}

type ControlKind = ArmRecord['controls'][number]['kind'];

const roles: Readonly<Record<ControlKind, { readonly label: string; readonly colour: Colour }>> = {
  unpenalized: { label: 'unpenalized', colour: 'grey' },
  'matched-l2': { label: 'matched L2', colour: 'orange' },
  'permuted-frequencies': { label: 'permuted', colour: 'green' },
  'permuted-order': { label: 'permuted order', colour: 'purple' },
};

export const controlLabel = (kind: ControlKind): string =>
  kind === 'permuted-frequencies' ? 'permuted frequencies' : roles[kind].label;

/**
 * Each arm that has controls with them, then all others, six at a time. An arm has one colour in all of a
 * report: that of the kind of control that it is, blue where it has controls, else one of six.
 */
export function armGroups(arms: readonly ArmRecord[]): ArmGroup[] {
  const controlsOf = (name: string) =>
    arms.flatMap((arm) => arm.controls.filter(({ of }) => of === name).map(({ kind }) => ({ arm, kind })));
  const grouped = arms.flatMap(({ name }): ArmGroup[] => {
    const controls = controlsOf(name);
    if (controls.length === 0) return [];
    const members = controls.map(({ arm, kind }) => ({ arm: arm.name, ...roles[kind] }));
    return [
      {
        title: `${name} and its controls`,
        members: [{ arm: name, label: 'with penalty', colour: 'blue' }, ...members],
      },
    ];
  });
  const shown = new Set(grouped.flatMap(({ members }) => members.map(({ arm }) => arm)));
  const others = arms.filter(({ name }) => !shown.has(name));
  const most = seriesColours.length;
  const pieces = Array.from({ length: Math.ceil(others.length / most) }, (_, i) =>
    others.slice(i * most, (i + 1) * most),
  );
  return [
    ...grouped,
    ...pieces.map((piece, i) => ({
      title: pieces.length === 1 ? 'Arms' : `Arms, ${i + 1} of ${pieces.length}`,
      members: piece.map(({ name }, place) => ({ arm: name, label: name, colour: seriesColours[place] })),
    })),
  ];
}

/** The colour of each arm. */
export function armColours(groups: readonly ArmGroup[]): ReadonlyMap<string, Colour> {
  return new Map(groups.flatMap(({ members }) => members.map(({ arm, colour }) => [arm, colour])));
}
