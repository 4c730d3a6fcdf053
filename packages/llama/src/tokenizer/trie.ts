/** Texts, each with a value, to be found at a place of another text. */
export interface Trie<T> {
  /** Calls `found` for each of the texts that stands at `at`, the shortest first. */
  find(text: string, at: number, found: (length: number, value: T) => void): void;
}

interface Node<T> {
  readonly next: Map<number, Node<T>>;
  value?: T;
}

export function newTrie<T>(entries: Iterable<readonly [text: string, value: T]>): Trie<T> {
  const root: Node<T> = { next: new Map() };
  for (const [text, value] of entries) {
    let node = root;
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      let next = node.next.get(unit);
      if (!next) {
        next = { next: new Map() };
        node.next.set(unit, next);
      }
      node = next;
    }
    node.value = value;
  }
  return {
    find(text, at, found) {
      let node = root.next.get(text.charCodeAt(at));
      for (let length = 1; node; length++) {
        if (node.value !== undefined) found(length, node.value);
        node = node.next.get(text.charCodeAt(at + length)); // past the end it is NaN, which no node has
      }
    },
  };
}
