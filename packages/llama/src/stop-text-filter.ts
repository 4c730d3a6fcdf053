/** Passes text on until a stop text appears; holds back what could be the beginning of one. */
export class StopTextFilter {
  readonly #stopTexts: readonly string[];
  #held = '';
  text = '';
  stopped = false;

  constructor(stopTexts: readonly string[]) {
    this.#stopTexts = stopTexts.filter((s) => s.length > 0);
  }

  /** Takes a piece; returns what is now certain to belong to the completion. */
  push(piece: string): string {
    if (this.stopped) return '';
    this.#held += piece;
    const hits = this.#stopTexts.map((s) => this.#held.indexOf(s)).filter((at) => at >= 0);
    if (hits.length > 0) {
      this.stopped = true;
      return this.#pass(Math.min(...hits));
    }
    return this.#pass(this.#held.length - this.#possibleStart());
  }

  /** What was held back, once no more text comes. */
  rest(): string {
    return this.stopped ? '' : this.#pass(this.#held.length);
  }

  #pass(length: number): string {
    const certain = this.#held.slice(0, length);
    this.#held = this.#held.slice(length);
    this.text += certain;
    return certain;
  }

  /** Length of the longest end of the held text that begins a stop text. */
  #possibleStart(): number {
    const longest = Math.max(0, ...this.#stopTexts.map((s) => s.length - 1));
    for (let n = Math.min(longest, this.#held.length); n > 0; n--) {
      const end = this.#held.slice(-n);
      if (this.#stopTexts.some((s) => s.startsWith(end))) return n;
    }
    return 0;
  }
}
