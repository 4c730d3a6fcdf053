import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError, expandHome, homePath, hubHome, readWhole } from '@flex/base';

/** Where the hub is, and who asks it. */
export interface HubSettings {
  /** Its address without a slash at the end, such as `https://huggingface.co`. */
  readonly endpoint: string;
  readonly token: string | null;
}

const mostToken = 1 << 16;

/**
 * What the environment says: HF_ENDPOINT, else https://huggingface.co; the token of HF_TOKEN, else of the
 * file HF_TOKEN_PATH, else of `token` in Hugging Face's folder. Throws ConfigError for an endpoint that is
 * no address of http or https, and for a token that no header can have.
 */
export function hubSettings(environment: NodeJS.ProcessEnv = process.env): HubSettings {
  const endpoint = (environment.HF_ENDPOINT || 'https://huggingface.co').replace(/\/+$/, '');
  const isAddress = URL.canParse(endpoint) && /^https?:$/.test(new URL(endpoint).protocol);
  if (!isAddress) throw new ConfigError('HF_ENDPOINT: must be an address such as https://huggingface.co');
  return { endpoint, token: tokenOf(environment) };
}

function tokenOf(environment: NodeJS.ProcessEnv): string | null {
  const { HF_TOKEN, HF_TOKEN_PATH } = environment;
  if (HF_TOKEN) return checked(HF_TOKEN, 'HF_TOKEN');
  const file = HF_TOKEN_PATH ? expandHome(HF_TOKEN_PATH) : join(hubHome(environment), 'token');
  return existsSync(file) ? checked(readWhole(file, mostToken).toString(), homePath(file)) : null;
}

/** The token without space around it; null where nothing is left. */
function checked(text: string, where: string): string | null {
  const token = text.trim();
  if (!/^[\x21-\x7e]*$/.test(token))
    throw new ConfigError(`${where}: holds what is no token: one word of ASCII`);
  return token || null;
}
