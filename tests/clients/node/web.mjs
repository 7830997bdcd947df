// OpenFeature's web SDK, with its OFREP provider, against a running gateway: all flags at once, entity tags, events.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { OpenFeature, ProviderEvents } from '@openfeature/web-sdk';
import { OFREPWebProvider } from '@openfeature/ofrep-web-provider';
import { EventSource as Polyfill } from 'eventsource';
import { answered, auth, checks, expect, failed, patch, token, url, within } from './common.mjs';

// What a browser has and Node has not. A browser's EventSource sends no Authorization, and neither does this one.
const streams = [];
globalThis.EventSource = class extends Polyfill {
  constructor(address) {
    super(address);
    streams.push(address);
  }
};
const stored = new Map();
globalThis.localStorage = {
  getItem: (key) => stored.get(key) ?? null,
  setItem: (key, value) => stored.set(key, value),
  removeItem: (key) => stored.delete(key),
};

/** A provider, which notes its requests and what was answered. */
function provider(options, asked) {
  const headers = Object.entries({ ...auth, ...options.headers });
  const fetchImplementation = async (request, options) => {
    const response = await fetch(request, options);
    asked.push({ url: new URL(request.url), known: request.headers.get('If-None-Match'), status: response.status });
    return response;
  };
  return new OFREPWebProvider({ baseUrl: url, fetchImplementation, cacheMode: 'disabled', ...options, headers });
}

/** The next event of a client. */
const told = (client, event) =>
  new Promise((resolve) => {
    const handler = (details) => {
      client.removeHandler(event, handler);
      resolve(details);
    };
    client.addHandler(event, handler);
  });

// The four types, at once.
const asked = [];
await OpenFeature.setContext('web', { targetingKey: 'ann', plan: 'free' });
await OpenFeature.setProviderAndWait('web', provider({}, asked));
const flags = OpenFeature.getClient('web');
const layout = { columns: 2, areas: ['a', 'b'], wide: true };
answered(flags.getBooleanDetails('on', false), true, 'true', 'STATIC', 'default');
answered(flags.getStringDetails('theme', 'x'), 'dark', 'dark', 'DEFAULT', 'default');
answered(flags.getNumberDetails('limit', 0), 10, '10', 'STATIC', 'default');
answered(flags.getNumberDetails('ratio', 0), 0.25, '0.25', 'STATIC', 'default');
answered(flags.getObjectDetails('layout', {}), layout, 'default', 'STATIC', 'default');
answered(flags.getBooleanDetails('everyone', false), true, 'true', 'SPLIT', 'rollout');
answered(flags.getBooleanDetails('off', false), true, 'true', 'DISABLED', 'flag_disabled');
answered(flags.getObjectDetails('nothing', { mine: 1 }), { mine: 1 }, 'default', 'STATIC', 'default');
failed(flags.getBooleanDetails('gone', true), true, 'FLAG_NOT_FOUND');
failed(flags.getBooleanDetails('broken', true), true, 'PARSE_ERROR');
failed(flags.getBooleanDetails('theme', true), true, 'TYPE_MISMATCH');
expect([asked.length, asked[0].status, asked[0].known], [1, 200, null]);

// Another context: asked for with the old answer's entity tag, which is not the new one's.
await OpenFeature.setContext('web', { targetingKey: 'ann', plan: 'pro' });
answered(flags.getStringDetails('theme', 'x'), 'light', 'light', 'TARGETING_MATCH', 'targeting_match');
expect([asked.length, asked[1].status, typeof asked[1].known], [2, 200, 'string']);
await OpenFeature.setContext('web', {});
failed(flags.getBooleanDetails('half', true), true, 'TARGETING_KEY_MISSING');
answered(flags.getBooleanDetails('on', false), true, 'true', 'STATIC', 'default');
await OpenFeature.setContext('web', { targetingKey: 'ann', plan: 'pro' });

// The same context again: nothing is sent anew.
await OpenFeature.setContext('web', { targetingKey: 'ann', plan: 'pro' });
expect(asked.at(-1).status, 304);
answered(flags.getStringDetails('theme', 'x'), 'light', 'light', 'TARGETING_MATCH', 'targeting_match');

// A change is told, and fetched at once.
expect(streams.length, 1);
expect(new URL(streams[0]).pathname, '/ofrep/v1/events');
for (const value of [false, true]) {
  const changed = told(flags, ProviderEvents.ConfigurationChanged);
  const before = Date.now();
  await patch('on', { default_value: value });
  const details = await within(5, 'a change is told', changed);
  expect(details.flagsChanged, ['on']);
  expect(flags.getBooleanValue('on', !value), value);
  const refetch = asked.at(-1);
  assert.match(refetch.url.searchParams.get('flagConfigEtag'), /^.+:\d+$/);
  assert.ok(Number(refetch.url.searchParams.get('flagConfigLastModified')) > 1e9, refetch.url.href);
  expect([refetch.status, typeof refetch.known], [200, 'string']);
  console.log(`node, web: a change arrived ${Date.now() - before} ms after it was sent`);
}

// A context that is none is an error, and the flags stay.
const error = told(flags, ProviderEvents.Error);
await OpenFeature.setContext('web', { targetingKey: 5 });
assert.match((await within(5, 'an error is told', error)).message, /status: 400/);
await OpenFeature.setContext('web', { targetingKey: 'ann', plan: 'pro' });

// Polling, for who wants no events: unchanged answers are 304.
const polled = [];
await OpenFeature.setContext('polling', { targetingKey: 'ann' });
await OpenFeature.setProviderAndWait('polling', provider({ changeDetection: 'polling', pollInterval: 50 }, polled));
const polling = OpenFeature.getClient('polling');
while (polled.length < 3) await new Promise((resolve) => setTimeout(resolve, 10));
expect(polled.slice(0, 3).map((one) => one.status), [200, 304, 304]);
const changed = told(polling, ProviderEvents.ConfigurationChanged);
await patch('limit', { default_value: 11 });
expect((await within(5, 'a poll sees the change', changed)).flagsChanged, ['limit']);
expect(polling.getNumberValue('limit', 0), 11);

// A page that is opened again begins with what it knew, and asks whether that still holds.
for (const reason of ['STATIC', 'CACHED']) {
  const log = [];
  const kept = provider({ cacheMode: 'local-cache-first', changeDetection: 'none', cacheKeyGenerator: () => 'one' }, log);
  await OpenFeature.setContext(reason, { targetingKey: 'bob' });
  await OpenFeature.setProviderAndWait(reason, kept);
  expect(OpenFeature.getClient(reason).getBooleanDetails('on', false).reason, reason);
  while (log.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(log[0].status, reason === 'CACHED' ? 304 : 200);
}

// Who is not let in is told so.
const refusals = [['elsewhere', { Origin: 'https://elsewhere.example' }, 403]];
if (token) refusals.push(['wrong', { Authorization: 'Bearer wrong' }, 401]);
for (const [domain, headers, status] of refusals) {
  const log = [];
  await assert.rejects(OpenFeature.setProviderAndWait(domain, provider({ headers }, log)));
  expect(log.map((one) => one.status), [status]);
  expect(OpenFeature.getClient(domain).getBooleanDetails('on', false).errorCode, 'PROVIDER_FATAL');
}

// The events themselves, to who reads them without a provider.
const source = new Polyfill(streams[0]);
const seen = new Map();
let came = () => {};
source.addEventListener('message', (event) => {
  seen.set(event.lastEventId, JSON.parse(event.data));
  came();
});
await within(5, 'the stream opens', once(source, 'open'));
await patch('ratio', { default_value: 0.5 });
const all = await fetch(`${url}/ofrep/v1/evaluate/flags`, { method: 'POST', headers: auth });
const { flaggate_revision: revision } = (await all.json()).metadata;
while (!seen.has(revision)) await within(5, 'an event comes', new Promise((resolve) => (came = resolve)));
const { type, etag, lastModified } = seen.get(revision);
expect([type, etag, Number.isInteger(lastModified)], ['refetchEvaluation', revision, true]);
source.close();

await OpenFeature.close();
console.log(`node, web: ${checks} checks passed`);
process.exit(0);
