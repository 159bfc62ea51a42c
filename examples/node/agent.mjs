// An A2A agent with the real JavaScript SDK. It knows nothing of the sidecar: it listens where PORT says, a number or a path.
//
//   PORT=/tmp/agent.sock node agent.mjs
//
// It answers every message with its text in capitals; "count N" counts in a stream of artifacts. Both protocol versions
// the SDK speaks (1.0 and 0.3) are served.

import express from 'express';
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { Role, TaskState } from '@a2a-js/sdk';
import { AgentEvent, DefaultRequestHandler, InMemoryTaskStore } from '@a2a-js/sdk/server';
import { agentCardHandler, jsonRpcHandler, restHandler, UserBuilder } from '@a2a-js/sdk/server/express';

const port = process.env.PORT ?? '9000';
const base = /^\d+$/.test(port) ? `http://127.0.0.1:${port}` : 'http://localhost';

const iface = (path, protocolBinding, protocolVersion) => ({ url: base + path, protocolBinding, protocolVersion, tenant: '' });
const card = {
  name: 'shouting agent',
  description: 'Says everything again in capitals',
  version: '1.0.0',
  supportedInterfaces: [
    iface('/', 'JSONRPC', '1.0'),
    iface('/rest', 'HTTP+JSON', '1.0'),
    iface('/', 'JSONRPC', '0.3'),
  ],
  provider: undefined,
  documentationUrl: '',
  capabilities: { streaming: true, pushNotifications: false, extensions: [], extendedAgentCard: false },
  securitySchemes: {},
  securityRequirements: [],
  defaultInputModes: ['text/plain'],
  defaultOutputModes: ['text/plain'],
  skills: [
    {
      id: 'shout', name: 'Shout', description: 'Capitals', tags: ['text'], examples: ['hello'],
      inputModes: ['text/plain'], outputModes: ['text/plain'], securityRequirements: [],
    },
  ],
  signatures: [],
};

const textPart = (text) => ({ content: { $case: 'text', value: text }, metadata: {}, filename: '', mediaType: 'text/plain' });
const textOf = (message) =>
  message.parts.map((p) => (p.content?.$case === 'text' ? p.content.value : '')).join('');

class Shouter {
  async execute(context, bus) {
    const { taskId, contextId, userMessage } = context;
    const text = textOf(userMessage);
    const count = /^count (\d+)$/.exec(text);
    const now = () => new Date().toISOString();

    if (!count) {
      bus.publish(AgentEvent.message({
        messageId: randomUUID(), contextId, taskId: '', role: Role.ROLE_AGENT, parts: [textPart(text.toUpperCase())],
        metadata: {}, extensions: [], referenceTaskIds: [],
      }));
      bus.finished();
      return;
    }
    bus.publish(AgentEvent.task({
      id: taskId, contextId, status: { state: TaskState.TASK_STATE_WORKING, message: undefined, timestamp: now() },
      artifacts: [], history: [userMessage], metadata: {},
    }));
    for (let n = 1; n <= Number(count[1]); n++) {
      bus.publish(AgentEvent.artifactUpdate({
        taskId, contextId, append: n > 1, lastChunk: n === Number(count[1]), metadata: {},
        artifact: { artifactId: 'numbers', name: '', description: '', parts: [textPart(`${n}\n`)], metadata: {}, extensions: [] },
      }));
    }
    bus.publish(AgentEvent.statusUpdate({
      taskId, contextId, metadata: {},
      status: { state: TaskState.TASK_STATE_COMPLETED, message: undefined, timestamp: now() },
    }));
    bus.finished();
  }

  async cancelTask(taskId, bus) {
    bus.finished();
  }
}

const handler = new DefaultRequestHandler(card, new InMemoryTaskStore(), new Shouter());
const legacyCompat = { enabled: true };
const common = { requestHandler: handler, userBuilder: UserBuilder.noAuthentication, legacyCompat };
const app = express();

app.use('/.well-known/agent-card.json', agentCardHandler({ agentCardProvider: handler, legacyCompat }));
app.use('/rest', restHandler({ requestHandler: handler, userBuilder: UserBuilder.noAuthentication }));
app.use('/', jsonRpcHandler(common));

if (!/^\d+$/.test(port)) rmSync(port, { force: true }); // a socket an earlier run left behind
const server = app.listen(/^\d+$/.test(port) ? Number(port) : port, () => console.log(`listening on ${port}`));
process.on('SIGTERM', () => server.close(() => process.exit(0)));
