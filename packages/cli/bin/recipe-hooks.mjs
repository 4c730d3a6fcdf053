/**
 * Module hook for what recipes and parts need beyond tsx, wherever on the disk they lie: `@flex/…` is this
 * command line's own, `zod` the one that it reads schemas with, and a .ts file is an ES module even where no
 * package.json says so. The packages' own imports name files, which need no search.
 */
const packages = new URL('../../', import.meta.url).href;
/** Addresses by what is imported, of what has been bundled; null where nothing is. */
let entries = null;

export function initialize(given) {
  entries = given;
}

export function resolve(specifier, context, next) {
  if (entries !== null && Object.hasOwn(entries, specifier)) {
    return { url: entries[specifier], format: 'module', shortCircuit: true };
  }
  const isOurs = specifier.startsWith('@flex/') || specifier === 'zod';
  const parentURL = isOurs ? import.meta.url : context.parentURL;
  if (/^\.{1,2}\/.*\.ts$/.test(specifier) && parentURL.startsWith(packages)) {
    return { url: new URL(specifier, parentURL).href, format: 'module', shortCircuit: true };
  }
  const found = next(specifier, { ...context, parentURL });
  return found instanceof Promise ? found.then(asModule) : asModule(found);
}

function asModule(found) {
  // tsx marks by a query what it takes for CommonJS.
  const url = found.url.replace(/(?<=\.ts)%3Ftsx-commonjs-.*$/, '');
  const isTypeScript = new URL(url).pathname.endsWith('.ts');
  return isTypeScript && found.format?.startsWith('commonjs') ? { ...found, url, format: 'module' } : found;
}
