/**
 * Module hook for what recipes and parts need beyond tsx, wherever on the disk they lie: `@flex/…` is this
 * workspace's, `zod` the one that it reads schemas with, and a .ts file is an ES module even where no package.json
 * says so.
 */
export function resolve(specifier, context, next) {
  const isOurs = specifier.startsWith('@flex/') || specifier === 'zod';
  const parentURL = isOurs ? import.meta.url : context.parentURL;
  const found = next(specifier, { ...context, parentURL });
  return found instanceof Promise ? found.then(asModule) : asModule(found);
}

function asModule(found) {
  const isTypeScript = new URL(found.url).pathname.endsWith('.ts');
  return isTypeScript && found.format?.startsWith('commonjs') ? { ...found, format: 'module' } : found;
}
