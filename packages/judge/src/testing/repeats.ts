/**
 * A program's text with its repetitions written out: `«3×ab#,»` is `ab0,ab1,ab2,`. What breaks compilers is
 * long, and its file need not be.
 */
export function writeOut(text: string): string {
  return text.replace(/«(\d+)×([^»]*)»/g, (_, times, part) =>
    Array.from({ length: Number(times) }, (_, i) => part.replaceAll('#', String(i))).join(''),
  );
}
