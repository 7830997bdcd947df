// What the checks share.
import assert from 'node:assert/strict';

export const url = process.env.FLAGGATE_URL;
export const token = process.env.FLAGGATE_TOKEN;
export const auth = token ? { Authorization: `Bearer ${token}` } : {};
export let checks = 0;

export function expect(found, expected) {
  checks += 1;
  assert.deepEqual(found, expected);
}

export function answered(details, value, variant, reason, ours) {
  const { flagMetadata } = details;
  const found = [details.value, details.variant, details.reason, details.errorCode, flagMetadata.flaggate_reason];
  expect(found, [value, variant, reason, undefined, ours]);
}

export function failed(details, fallback, code) {
  expect([details.value, details.reason, details.errorCode], [fallback, 'ERROR', code]);
  assert.ok(details.errorMessage, JSON.stringify(details));
}

/** Changes a flag, and answers when the gateway serves the change. */
export async function patch(key, fields) {
  const headers = { 'Content-Type': 'application/json', ...(process.env.FLAGGATE_EDITOR ? { Authorization: `Bearer ${process.env.FLAGGATE_EDITOR}` } : {}) };
  const response = await fetch(`${url}/flags/${key}`, { method: 'PATCH', headers, body: JSON.stringify(fields) });
  assert.equal(response.status, 200, await response.text());
}

/** Waits until something holds, by being told, not by looking again and again. */
export function within(seconds, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${seconds} s`)), seconds * 1000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
