import { Template } from '@huggingface/jinja';

/** A node of a template's syntax, as the library makes it. */
type Node = { type?: string } & Record<string, unknown>;

/**
 * What Python does otherwise than the library: templates may call these by names that no template can spell.
 * '' is not false there, nor is None undefined; and strip(c) takes the characters c away, not white space.
 */
export const pythonFunctions = {
  ' equal': (a: unknown, b: unknown): boolean => {
    const isNumber = (value: unknown) => typeof value === 'number' || typeof value === 'boolean';
    return isNumber(a) && isNumber(b) ? Number(a) === Number(b) : a === b;
  },
  ' strip': (text: string, characters: string, side: string): string => {
    const drop = new Set(characters);
    const kept = [...text];
    const from = side === 'rstrip' ? 0 : kept.findIndex((each) => !drop.has(each));
    const to = side === 'lstrip' ? kept.length - 1 : kept.findLastIndex((each) => !drop.has(each));
    return from < 0 ? '' : kept.slice(from, to + 1).join('');
  },
};

/** A Jinja template with Python's meaning, to be rendered with `pythonFunctions` among its values. */
export function parseTemplate(source: string): Template {
  const template = new Template(source);
  rewrite(template.parsed);
  return template;
}

const call = (name: keyof typeof pythonFunctions, args: readonly unknown[]) => ({
  type: 'CallExpression',
  callee: { type: 'Identifier', value: name },
  args,
});
const literal = (value: string) => ({ type: 'StringLiteral', value });

function rewrite(value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  const node = value as Node;
  for (const child of value instanceof Map ? [...value].flat() : Object.values(value)) rewrite(child);
  if (node.type === 'BinaryExpression') {
    const { operator, left, right } = node as unknown as { operator: Node; left: Node; right: Node };
    const equal = call(' equal', [left, right]);
    if (operator.value === '==') replace(node, equal);
    if (operator.value === '!=') {
      replace(node, { type: 'UnaryExpression', operator: { value: 'not' }, argument: equal });
    }
  } else if (node.type === 'CallExpression') {
    const { callee, args } = node as unknown as { callee: Node; args: Node[] };
    const name = callee.type === 'MemberExpression' && !callee.computed && (callee.property as Node).value;
    if (args.length === 1 && (name === 'strip' || name === 'lstrip' || name === 'rstrip')) {
      replace(node, call(' strip', [callee.object, args[0], literal(name)]));
    }
  }
}

function replace(node: Node, by: object): void {
  for (const key of Object.keys(node)) delete node[key];
  Object.assign(node, by);
}
