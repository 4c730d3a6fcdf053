const functions = new Map<string, (...args: unknown[]) => unknown>();

/** The function that a text of JavaScript, `function (…) { … }`, stands for; each is made once. */
export function hostFunction(code: string): (...args: unknown[]) => unknown {
  let f = functions.get(code);
  if (!f) {
    f = new Function(`return (${code})`)() as (...args: unknown[]) => unknown;
    functions.set(code, f);
  }
  return f;
}
