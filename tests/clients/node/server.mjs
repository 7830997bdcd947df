// OpenFeature's server SDK for Node, with its OFREP provider, against a running gateway.
import { OpenFeature } from '@openfeature/server-sdk';
import { OFREPProvider } from '@openfeature/ofrep-provider';
import { answered, auth, checks, expect, failed, token, url } from './common.mjs';

async function client(domain, headers) {
  const provider = new OFREPProvider({ baseUrl: url, headers: Object.entries({ ...auth, ...headers }) });
  await OpenFeature.setProviderAndWait(domain, provider);
  return OpenFeature.getClient(domain);
}

const ann = { targetingKey: 'ann', plan: 'free' };
const flags = await client('good', {});

// The four types.
answered(await flags.getBooleanDetails('on', false, ann), true, 'true', 'STATIC', 'default');
answered(await flags.getStringDetails('theme', 'x', ann), 'dark', 'dark', 'DEFAULT', 'default');
answered(await flags.getNumberDetails('limit', 0, ann), 10, '10', 'STATIC', 'default');
answered(await flags.getNumberDetails('ratio', 0, ann), 0.25, '0.25', 'STATIC', 'default');
const layout = { columns: 2, areas: ['a', 'b'], wide: true };
answered(await flags.getObjectDetails('layout', {}, ann), layout, 'default', 'STATIC', 'default');

// The other reasons, and another context.
const pro = { targetingKey: 'ann', plan: 'pro' };
answered(await flags.getStringDetails('theme', 'x', pro), 'light', 'light', 'TARGETING_MATCH', 'targeting_match');
answered(await flags.getBooleanDetails('everyone', false, ann), true, 'true', 'SPLIT', 'rollout');
answered(await flags.getBooleanDetails('off', false, ann), true, 'true', 'DISABLED', 'flag_disabled');
answered(await flags.getBooleanDetails('on', false, {}), true, 'true', 'STATIC', 'default');
// Null: the code's own default. This version of the provider calls it an error all the same.
expect((await flags.getObjectDetails('nothing', { mine: 1 }, ann)).value, { mine: 1 });

// The errors.
failed(await flags.getBooleanDetails('gone', true, ann), true, 'FLAG_NOT_FOUND');
failed(await flags.getBooleanDetails('half', true, {}), true, 'TARGETING_KEY_MISSING');
failed(await flags.getBooleanDetails('on', false, { targetingKey: 5 }), false, 'INVALID_CONTEXT');
failed(await flags.getBooleanDetails('broken', true, ann), true, 'PARSE_ERROR');
failed(await flags.getBooleanDetails('theme', true, ann), true, 'TYPE_MISMATCH');
// What is refused before it is evaluated: this version of the provider has no words for it.
const refusals = [['elsewhere', { Origin: 'https://elsewhere.example' }, ann], ['huge', {}, { huge: 'x'.repeat(1 << 20) }]];
if (token) refusals.push(['wrong', { Authorization: 'Bearer wrong' }, ann]);
for (const [domain, headers, context] of refusals) {
  const refused = await (await client(domain, headers)).getBooleanDetails('on', false, context);
  expect([refused.value, refused.reason, refused.errorCode], [false, 'ERROR', 'GENERAL']);
}

console.log(`node, server: ${checks} checks passed`);
