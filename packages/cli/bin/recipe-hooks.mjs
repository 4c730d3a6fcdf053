/**
 * Module hook for what recipes and parts need beyond tsx, wherever on the disk they lie: `@flex/…` is this
 * workspace's, `zod` the one that it reads schemas with, and a .ts file is an ES module even where no package.json
 * says so. The packages' own imports name files, which need no search: that makes the start quicker.
 */
const packages = new URL('../../', import.meta.url).href;

export function resolve(specifier, context, next) {
  const isOurs = specifier.startsWith('@flex/') || specifier === 'zod';
  const parentURL = isOurs ? import.meta.url : context.parentURL;
  if (/^\.{1,2}\/.*\.ts$/.test(specifier) && parentURL.startsWith(packages)) {
    return { url: new URL(specifier, parentURL).href, format: 'module', shortCircuit: true };
  }
  const found = next(specifier, { ...context, parentURL });
  return found instanceof Promise ? found.then(asModule) : asModule(found);
}

function asModule(found) {
  const isTypeScript = new URL(found.url).pathname.endsWith('.ts');
  return isTypeScript && found.format?.startsWith('commonjs') ? { ...found, format: 'module' } : found;
}
