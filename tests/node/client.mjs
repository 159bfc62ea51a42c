// Makes every call of the real JavaScript SDK's client and prints what each gave, one JSON object per dialect, with ids and times
// replaced, so that two runs (the agent itself, the agent through the sidecar) can be compared byte for byte.
//
//   node client.mjs BASE_URL all DIALECT...         all calls, for agent_full.mjs
//   node client.mjs BASE_URL cards DIALECT...       those that concern cards
//   node client.mjs BASE_URL refusals DIALECT...    what an agent that can do little answers to what it cannot do, for examples/node
//
// DIALECT: jsonrpc-1.0, rest-1.0, jsonrpc-0.3, rest-0.3. `all` ends with status 4 when it leaves out a public method.

import { randomUUID } from 'node:crypto';
import { Role, TaskState } from '@a2a-js/sdk';
import {
  Client, ClientFactory, ClientFactoryOptions, DefaultAgentCardResolver, JsonRpcTransportFactory, RestTransportFactory,
  createAuthenticatingFetchWithRetry, withA2AExtensions, ServiceParameters,
} from '@a2a-js/sdk/client';

const [base, mode, ...dialects] = process.argv.slice(2);
const interfaceOf = {
  'jsonrpc-1.0': ['JSONRPC', '1.0'],
  'rest-1.0': ['HTTP+JSON', '1.0'],
  'jsonrpc-0.3': ['JSONRPC', '0.3'],
  'rest-0.3': ['HTTP+JSON', '0.3'],
};
const token = 'Bearer caller-of-the-test';
const extension = 'https://example.org/extensions/shouting';

// of the dialect whose turn it is; begin() makes them
let binding, version, factory, resolver, fullCard, out, wire, advertised;

// ---- what passes on the wire: of each answer the status and the fields that say something to a client

const ofTheWay = new Set(['connection', 'keep-alive', 'transfer-encoding', 'date', 'via']);
const watched = async (url, init) => {
  const path = new URL(url).pathname + new URL(url).search;
  const entry = { method: init?.method ?? 'GET', path };
  wire.push(entry);
  const response = await fetch(url, init);
  entry.status = response.status;
  // a card's addresses depend on where it is asked for, so its length and its tag do as well
  const isCard = /agent-card|\/card$|\/extendedAgentCard$/.test(path) || /Extended(Agent)?Card/.test(init?.body ?? '');
  entry.headers = [...response.headers].filter(([name]) =>
    !ofTheWay.has(name) && !(isCard && (name === 'etag' || name === 'content-length' || name === 'last-modified')));
  return response;
};
const knocking = createAuthenticatingFetchWithRetry(watched, {
  headers: async () => ({}),
  shouldRetryWithHeaders: async (_, response) => (response.status === 401 ? { Authorization: token } : undefined),
});

// ---- a client, and which of its methods were called

const legacyCompat = { enabled: true };
const called = new Set();
const counted = (object) => new Proxy(object, {
  get(target, name) {
    const value = target[name];
    if (typeof value !== 'function') return value;
    called.add(`${target.constructor.name}.${name}`);
    return value.bind(target);
  },
});
const factoryWith = (fetchImpl) => counted(new ClientFactory(ClientFactoryOptions.createFrom(ClientFactoryOptions.default, {
  transports: [new JsonRpcTransportFactory({ legacyCompat, fetchImpl }), new RestTransportFactory({ legacyCompat, fetchImpl })],
  preferredTransports: [binding],
  cardResolver: new DefaultAgentCardResolver({ legacyCompat, fetchImpl }),
})));

const addressless = (name, card) => {
  advertised[name] = card.supportedInterfaces.map((i) => i.url);
  return { ...card, supportedInterfaces: card.supportedInterfaces.map(({ url, ...rest }) => rest) };
};
const only = (capabilities) => ({
  ...fullCard,
  capabilities: { ...fullCard.capabilities, ...capabilities },
  supportedInterfaces: fullCard.supportedInterfaces.filter((i) => i.protocolBinding === binding && i.protocolVersion === version),
});
const clientWith = async (capabilities, fetchImpl) =>
  counted(await (fetchImpl ? factoryWith(fetchImpl) : factory).createFromAgentCard(only(capabilities)));

// ---- arguments and results

const textPart = (value) => ({ content: { $case: 'text', value }, metadata: {}, filename: '', mediaType: 'text/plain' });
const messageOf = (parts, more = {}, configuration = undefined) => ({
  tenant: '', configuration, metadata: {},
  message: {
    messageId: randomUUID(), contextId: '', taskId: '', role: Role.ROLE_USER, metadata: {}, extensions: [], referenceTaskIds: [], parts,
    ...more,
  },
});
const say = (text, more, configuration) => messageOf([textPart(text)], more, configuration);
const byId = (id) => ({ tenant: '', id, historyLength: undefined, metadata: {} });
const listOf = (more) => ({
  tenant: '', contextId: '', status: 0, pageSize: undefined, pageToken: '', historyLength: undefined, statusTimestampAfter: undefined,
  includeArtifacts: undefined, ...more,
});
const config = (taskId, id) => ({
  tenant: '', taskId, id, url: `https://example.org/hooks/${id}`, token: 'hook-token', authentication: { scheme: 'Bearer', credentials: 'c' },
});
const configId = (taskId, id) => ({ tenant: '', taskId, id });
const configsOf = (taskId) => ({ tenant: '', taskId, pageSize: 0, pageToken: '' });
const extended = (options) => ({ serviceParameters: ServiceParameters.create(withA2AExtensions(extension)), ...options });

// What the call gave, or how it was refused: the error's class and all it carries but the header block, which `wire` has.
const keep = async (name, call) => {
  try {
    const value = await call();
    out[name] = value === undefined ? 'nothing' : value;
    return value;
  } catch (e) {
    const { headers, stack, cause, ...rest } = e;
    out[name] = { refused: e.constructor.name, name: e.name, message: e.message, cause: cause?.message, ...rest };
    return undefined;
  }
};
const all = async (stream) => {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
};
const firstOf = async (stream) => (await stream.next()).value;
const idOf = (event) => event.payload.value.id || event.payload.value.taskId;

// ---- the calls

async function messages(client) {
  await keep('send', () => client.sendMessage(say('hello there')));
  await keep('sendAllParts', () => client.sendMessage(messageOf([
    textPart('mirror'),
    textPart('grüße, 世界, \u{1f600}, "quoted", \u0001\u007f\u2028'),
    { content: { $case: 'raw', value: Buffer.from([...Array(256).keys()]) }, metadata: { a: [1, { b: null }] }, filename: 'all.bin', mediaType: 'application/octet-stream' },
    { content: { $case: 'url', value: 'https://example.org/a?b=c#d' }, metadata: {}, filename: 'd', mediaType: 'image/png' },
    { content: { $case: 'data', value: { deep: [{ er: 1.5, big: 9007199254740991, no: false }] } }, metadata: {}, filename: '', mediaType: 'application/json' },
  ])));
  const lengths = (message) => message.parts.map((p) => p.content.value.length);
  await keep('sendBig', async () => lengths(await client.sendMessage(messageOf([textPart('mirror '), textPart('x'.repeat(90_000))]))));
  await keep('sendTooBig', () => client.sendMessage(say('y'.repeat(150_000)))); // for the SDK's server
  await keep('answerBig', async () => lengths(await client.sendMessage(say('repeat 5000000'))));
  await keep('sendMany', async () => {
    const answers = await Promise.all([...Array(20).keys()].map((n) => client.sendMessage(say(`many ${n}`))));
    return answers.map((a) => a.parts[0].content.value);
  });
  await keep('sendExtension', () => client.sendMessage(say('loud'), extended()));
  await keep('sendFails', () => client.sendMessage(say('fail')));
  await keep('sendNoId', () => client.sendMessage(say('x', { messageId: '' })));
  await keep('sendUnknownTask', () => client.sendMessage(say('x', { taskId: 'no-such-task' })));
  await keep('sendTenant', () => client.sendMessage({ ...say('of a tenant'), tenant: 'acme' }));
}

async function streams(client) {
  await keep('stream', () => all(client.sendMessageStream(say('count 20'))));
  await keep('streamOneMessage', () => all(client.sendMessageStream(say('hello'))));
  await keep('streamFails', () => all(client.sendMessageStream(say('fail'))));
  await keep('streamNoId', () => all(client.sendMessageStream(say('x', { messageId: '' }))));
  await keep('streamUnknownTask', () => all(client.sendMessageStream(say('x', { taskId: 'no-such-task' }))));
  await keep('streamNotSupported', async () => all((await clientWith({ streaming: false })).sendMessageStream(say('count 2'))));

  const question = await keep('ask', () => client.sendMessage(say('ask')));
  await keep('askAnswered', () => client.sendMessage(say('this one', { taskId: question.id, contextId: question.contextId })));
  await keep('askAnsweredAgain', () => client.sendMessage(say('this one', { taskId: question.id, contextId: question.contextId })));

  // two readers of one task: the second comes later, and both get all that happens from then on
  const stream = client.sendMessageStream(say('wait'));
  const task = await keep('waitFirst', () => firstOf(stream));
  const again = client.resubscribeTask(byId(idOf(task)));
  await keep('resubscribeFirst', () => firstOf(again));
  await keep('go', () => client.sendMessage(say(`go ${idOf(task)}`)));
  await keep('waitRest', () => all(stream));
  await keep('resubscribeRest', () => all(again));
  await keep('resubscribeDone', () => all(client.resubscribeTask(byId(idOf(task)))));
  await keep('resubscribeUnknown', () => all(client.resubscribeTask(byId('no-such-task'))));

  const over = new AbortController();
  const left = client.sendMessageStream(say('wait'), { signal: over.signal });
  const leftTask = await firstOf(left);
  over.abort();
  await keep('streamAborted', () => all(left));
  await keep('cancelAborted', () => client.cancelTask(byId(idOf(leftTask))));
}

async function tasks(client) {
  const done = await client.sendMessage(say('count 2'));
  await keep('getTask', () => client.getTask(byId(done.id)));
  await keep('getTaskNoHistory', () => client.getTask({ ...byId(done.id), historyLength: 0 }));
  await keep('getTaskOfTenant', () => client.getTask({ ...byId(done.id), tenant: 'acme' }));
  await keep('getTaskUnknown', () => client.getTask(byId('no-such-task')));
  await keep('getTaskOddId', () => client.getTask(byId('a/b?c=d#e%2f ü')));

  const running = await keep('sendAtOnce', () => client.sendMessage(say('wait', {}, { returnImmediately: true, acceptedOutputModes: ['text/plain'] })));
  await keep('cancel', () => client.cancelTask(byId(running.id)));
  await keep('cancelTwice', () => client.cancelTask(byId(running.id)));
  await keep('cancelDone', () => client.cancelTask(byId(done.id)));
  await keep('cancelUnknown', () => client.cancelTask(byId('no-such-task')));

  const contextId = randomUUID();
  for (const to of [1, 2, 3]) await client.sendMessage(say(`count ${to}`, { contextId }));
  await client.sendMessage(say('fail', { contextId }));
  await keep('list', () => client.listTasks(listOf({ contextId, includeArtifacts: true })));
  await keep('listFailed', () => client.listTasks(listOf({ contextId, status: TaskState.TASK_STATE_FAILED, historyLength: 0 })));
  const page = await keep('listPage', () => client.listTasks(listOf({ contextId, pageSize: 3 })));
  if (page) {
    await keep('listNextPage', () => client.listTasks(listOf({ contextId, pageSize: 3, pageToken: page.nextPageToken })));
    page.nextPageToken = page.nextPageToken ? 'a token' : '';
  }
  await keep('listNone', () => client.listTasks(listOf({ contextId: randomUUID() })));
  await keep('listTooMany', () => client.listTasks(listOf({ pageSize: 1000 })));
  return done.id;
}

async function notifications(client, taskId) {
  await keep('configSet', () => client.createTaskPushNotificationConfig(config(taskId, 'one')));
  await keep('configSetSecond', () => client.createTaskPushNotificationConfig(config(taskId, 'two')));
  await keep('configGet', () => client.getTaskPushNotificationConfig(configId(taskId, 'one')));
  await keep('configList', () => client.listTaskPushNotificationConfig(configsOf(taskId)));
  await keep('configDelete', () => client.deleteTaskPushNotificationConfig(configId(taskId, 'one')));
  await keep('configListAfter', () => client.listTaskPushNotificationConfig(configsOf(taskId)));
  await keep('configGetDeleted', () => client.getTaskPushNotificationConfig(configId(taskId, 'one')));
  await keep('configDeleteDeleted', () => client.deleteTaskPushNotificationConfig(configId(taskId, 'one')));
  await missingNotifications(client);
}

async function missingNotifications(client) {
  await keep('configSetUnknown', () => client.createTaskPushNotificationConfig(config('no-such-task', 'one')));
  await keep('configGetUnknown', () => client.getTaskPushNotificationConfig(configId('no-such-task', 'one')));
  await keep('configListUnknown', () => client.listTaskPushNotificationConfig(configsOf('no-such-task')));
  await keep('configDeleteUnknown', () => client.deleteTaskPushNotificationConfig(configId('no-such-task', 'one')));
}

async function cards(client) {
  out.card = addressless('card', fullCard);
  await keep('cardElsewhere', () => resolver.resolve(base, '/no/such/card.json'));
  out.cardNormalized = addressless('cardNormalized', resolver.normalizeAgentCard(fullCard));
  const byUrl = await factory.createFromUrl(base);
  out.byUrl = [byUrl.transport.protocolName, byUrl.protocolVersion, client.transport.protocolName, client.protocolVersion];
  await keep('extendedCardRefused', async () => (await clientWith()).getAgentCard());
  await keep('extendedCard', async () => addressless('extendedCard', await (await clientWith()).getAgentCard(
    { serviceParameters: { Authorization: token } }, async (card) => { out.verified = card.name; })));
  // an agent that asks for a token with 401 gets it at the second attempt
  const knocks = await clientWith({}, knocking);
  await keep('tokenWanted', () => client.sendMessage(say('x'), { serviceParameters: { 'X-Token-Wanted': '1' } }));
  await keep('tokenGiven', () => knocks.sendMessage(say('with a token'), { serviceParameters: { 'X-Token-Wanted': '1' } }));
  await keep('streamTokenGiven', () => all(knocks.sendMessageStream(say('count 1'), { serviceParameters: { 'X-Token-Wanted': '1' } })));
  if (client.transport.callExtensionMethod)
    await keep('extensionMethod', () => client.transport.callExtensionMethod('example/none', { a: 1 }, {}));
}

// Everything is asked for, as if the card had promised it.
async function refusals(client) {
  await keep('extendedCard', () => client.getAgentCard());
  await missingNotifications(client);
  await keep('send', () => client.sendMessage(say('hello there')));
  const events = await keep('stream', () => all(client.sendMessageStream(say('count 20'))));
  const id = idOf(events[0]);
  await keep('getTask', () => client.getTask(byId(id)));
  await keep('getTaskUnknown', () => client.getTask(byId('no-such-task')));
  await keep('cancelDone', () => client.cancelTask(byId(id)));
  await keep('resubscribe', () => all(client.resubscribeTask(byId(id))));
  await keep('list', () => client.listTasks(listOf({ contextId: randomUUID() })));
  await keep('configSet', () => client.createTaskPushNotificationConfig(config(id, 'one')));
}

async function begin(dialect) {
  [binding, version] = interfaceOf[dialect];
  [out, wire, advertised] = [{}, [], {}];
  resolver = counted(new DefaultAgentCardResolver({ legacyCompat, fetchImpl: watched }));
  factory = factoryWith(watched);
  fullCard = await resolver.resolve(base);
}

async function run() {
  if (mode === 'refusals') {
    await refusals(await clientWith({ pushNotifications: true, extendedAgentCard: true, streaming: true }));
    return;
  }
  const client = await clientWith();
  if (mode === 'all') {
    await messages(client);
    await streams(client);
    await notifications(client, await tasks(client));
  }
  await cards(client);
}

// ---- nothing left out: what is public but for these, which TypeScript calls private and JavaScript does not

const internal = new Set([
  'Client.applyClientConfig', 'Client.withNormalizedHeaders', 'Client.executeWithInterceptors', 'Client.interceptBefore',
  'Client.interceptAfter', 'ClientFactory.createFromNormalizedAgentCard', 'DefaultAgentCardResolver.fetchImpl',
  'DefaultAgentCardResolver.isProtoAgentCard', 'DefaultAgentCardResolver.hasProtoSecurity', 'DefaultAgentCardResolver.hasProtoSecuritySchemes',
]);
const methods = [Client, ClientFactory, DefaultAgentCardResolver].flatMap((type) =>
  Object.entries(Object.getOwnPropertyDescriptors(type.prototype))
    .filter(([name, d]) => typeof d.value === 'function' && name !== 'constructor')
    .map(([name]) => `${type.name}.${name}`));

// Ids and times, which differ from run to run, by their place.
function normalized() {
  const seen = new Map();
  const text = JSON.stringify({ ...out, wire }, (_, value) => (value?.type === 'Buffer' ? Buffer.from(value.data).toString('base64') : value))
    .replaceAll(base, 'base')
    .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/gi, (found) => {
      const id = found.toLowerCase();
      if (!seen.has(id)) seen.set(id, `id${seen.size + 1}`);
      return seen.get(id);
    })
    .replaceAll(/(W\/\\"[0-9a-f]+-)[^"\\]+/g, '$1hash') // an answer's tag depends on the ids in it
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'time')
    .replaceAll(/(pageToken=)[^"&]+/g, '$1token');
  return { advertised, ...JSON.parse(text) };
}

const results = {};
for (const dialect of dialects) {
  called.clear();
  await begin(dialect);
  await run();
  results[dialect] = normalized();
  const missed = methods.filter((m) => !internal.has(m) && !called.has(m));
  if (mode === 'all' && missed.length) {
    console.error(`client.mjs leaves out ${missed.join(', ')}`);
    process.exit(4);
  }
}
process.stdout.write(JSON.stringify(results), () => process.exit(0)); // streams that were left behind hold nothing up
