// Drives an A2A server with the real JavaScript SDK's client and prints what it got, one JSON object, ids replaced, so that two runs
// (the agent itself, the agent through the sidecar) can be compared byte for byte.
//
//   node client.mjs BASE_URL jsonrpc-1.0|rest-1.0|jsonrpc-0.3

import { randomUUID } from 'node:crypto';
import { Role } from '@a2a-js/sdk';
import {
  ClientFactory, ClientFactoryOptions, DefaultAgentCardResolver, JsonRpcTransportFactory, RestTransportFactory,
} from '@a2a-js/sdk/client';

const [base, dialect] = process.argv.slice(2);
const want = {
  'jsonrpc-1.0': ['JSONRPC', '1.0'],
  'rest-1.0': ['HTTP+JSON', '1.0'],
  'jsonrpc-0.3': ['JSONRPC', '0.3'],
}[dialect];

const legacyCompat = { enabled: true };
const resolver = new DefaultAgentCardResolver({ legacyCompat });
const factory = new ClientFactory(ClientFactoryOptions.createFrom(ClientFactoryOptions.default, {
  transports: [new JsonRpcTransportFactory({ legacyCompat }), new RestTransportFactory({})],
  preferredTransports: [want[0]],
}));

const card = await resolver.resolve(base);
const advertised = card.supportedInterfaces.map((i) => i.url);
card.supportedInterfaces = card.supportedInterfaces.filter((i) => i.protocolBinding === want[0] && i.protocolVersion === want[1]);
const client = await factory.createFromAgentCard(card);

const message = (text) => ({
  tenant: '', configuration: undefined, metadata: {},
  message: {
    messageId: randomUUID(), contextId: '', taskId: '', role: Role.ROLE_USER, metadata: {}, extensions: [], referenceTaskIds: [],
    parts: [{ content: { $case: 'text', value: text }, metadata: {}, filename: '', mediaType: 'text/plain' }],
  },
});
const refused = async (call) => {
  try {
    return await call();
  } catch (e) {
    return { refused: e.constructor.name, code: e.code, message: e.message };
  }
};

const out = {};
out.card = { name: card.name, version: card.version, skills: card.skills };
out.send = await client.sendMessage(message('hello there'));
out.stream = [];
let taskId = '';
for await (const event of client.sendMessageStream(message('count 20'))) {
  out.stream.push(event);
  if (event.payload?.$case === 'task') taskId = event.payload.value.id;
}
out.task = await client.getTask({ tenant: '', id: taskId, historyLength: undefined });
out.unknownTask = await refused(() => client.getTask({ tenant: '', id: 'no-such-task', historyLength: undefined }));
out.cancelDone = await refused(() => client.cancelTask({ tenant: '', id: taskId, metadata: {} }));

const seen = new Map();
const text = JSON.stringify(out)
  .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, (id) => {
    if (!seen.has(id)) seen.set(id, `id${seen.size + 1}`);
    return seen.get(id);
  })
  .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'time');
console.log(JSON.stringify({ advertised, ...JSON.parse(text) }));
