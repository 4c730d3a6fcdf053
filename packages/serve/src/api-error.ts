import { ConfigError, DataError, DeviceError } from '@flex/base';
import { OutOfMemoryError } from '@flex/tensor';

/** What a program reads of an error, in OpenAI's form. */
export interface ApiErrorBody {
  readonly message: string;
  readonly type: string;
  /** The key of the request that is wrong. */
  readonly param: string | null;
  readonly code: string | null;
}

export interface ApiErrorOptions {
  readonly param?: string;
  readonly code?: string;
  /** Further headers of the answer. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** A request that is not answered as it asks: its HTTP status, and one line that says why. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly #param: string | null;
  readonly #code: string | null;

  constructor(status: number, message: string, { param, code, headers = {} }: ApiErrorOptions = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
    this.#param = param ?? null;
    this.#code = code ?? null;
  }

  get body(): ApiErrorBody {
    const type = types.get(this.status) ?? (this.status < 500 ? 'invalid_request_error' : 'server_error');
    return { message: this.message, type, param: this.#param, code: this.#code };
  }
}

const types = new Map([
  [401, 'authentication_error'],
  [429, 'rate_limit_error'],
]);

/** Whether it means that the device answers no more; one without memory goes on. */
export function isLoss(error: unknown): error is DeviceError {
  return error instanceof DeviceError && !(error instanceof OutOfMemoryError);
}

/** What an error of the packages below means to who sent the request. */
export function apiErrorOf(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  const { message } = error as Error;
  if (error instanceof ConfigError || error instanceof DataError) return new ApiError(400, message);
  if (error instanceof DeviceError) return new ApiError(503, message, { code: 'device_error' });
  return new ApiError(500, message);
}
