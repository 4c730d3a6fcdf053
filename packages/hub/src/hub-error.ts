/** The hub cannot be reached, or does not do what it should; another time it may. */
export class HubError extends Error {
  override readonly name: string = 'HubError';
}

/** A failure after which the same question may have an answer: a broken connection, a server too busy. */
export class PassingError extends HubError {
  override readonly name = 'PassingError';
  /** Seconds after which the server wants to be asked again; null where it says nothing. */
  readonly after: number | null;

  constructor(message: string, options: ErrorOptions & { readonly after?: number | null } = {}) {
    super(message, options);
    this.after = options.after ?? null;
  }
}
