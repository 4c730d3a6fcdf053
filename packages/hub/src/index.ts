export type { DownloadProgress } from './download-blobs.ts';
export { downloadHeaders, type HeadersAtHub } from './download-headers.ts';
export { type DownloadOptions, downloadSnapshot } from './download-snapshot.ts';
export { HubError } from './hub-error.ts';
export { type HubSettings, hubSettings } from './hub-settings.ts';
export type { Patience } from './retry.ts';
