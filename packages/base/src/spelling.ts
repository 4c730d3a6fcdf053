/**
 * The one mapping between the names of options in TypeScript and in files: `warmupSteps` to `warmup_steps`, and
 * `warmup_steps` to `warmupSteps`. It is its own inverse, so that a name of the wrong side becomes one that nobody
 * knows rather than a second spelling of the right one.
 */
export function respell(name: string): string {
  return name.replace(/_([a-z])|([A-Z])/g, (_, small?: string, capital?: string) =>
    small ? small.toUpperCase() : `_${capital?.toLowerCase()}`,
  );
}
