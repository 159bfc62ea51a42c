// An agent with all that the real JavaScript SDK's server side has, for the comparison of all calls of its client (client.mjs):
// both protocol versions in both bindings, push notification settings, an extended card, an extension, callers with a token.
//
//   PORT=/tmp/agent.sock node agent_full.mjs
//
// What a message says is what is done: "count N" counts in artifacts, "wait" waits for "go TASK" or for its cancellation, "ask" asks
// for another message, "fail" throws, "mirror" gives the message's parts back, "repeat N" says N letters; all else is answered in capitals.

import express from 'express';
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { Role, TaskState } from '@a2a-js/sdk';
import { A2AError } from '@a2a-js/sdk/errors';
import { AgentEvent, DefaultRequestHandler, InMemoryTaskStore } from '@a2a-js/sdk/server';
import { agentCardHandler, jsonRpcHandler, restHandler } from '@a2a-js/sdk/server/express';

const port = process.env.PORT ?? '9000';
const base = /^\d+$/.test(port) ? `http://127.0.0.1:${port}` : 'http://localhost';
const extension = 'https://example.org/extensions/shouting';
const token = 'Bearer caller-of-the-test';

const iface = (path, protocolBinding, protocolVersion) => ({ url: base + path, protocolBinding, protocolVersion, tenant: '' });
const skill = (id) => ({
  id, name: id, description: `The skill ${id}, with ünïcode`, tags: ['text'], examples: ['hello'],
  inputModes: ['text/plain'], outputModes: ['text/plain'], securityRequirements: [],
});
const card = {
  name: 'agent with everything',
  description: 'All that the SDK can do',
  version: '1.0.0',
  supportedInterfaces: [
    iface('/', 'JSONRPC', '1.0'), iface('/rest', 'HTTP+JSON', '1.0'), iface('/', 'JSONRPC', '0.3'), iface('/rest', 'HTTP+JSON', '0.3'),
  ],
  provider: { organization: 'tests', url: 'https://example.org' },
  documentationUrl: 'https://example.org/documents',
  capabilities: {
    streaming: true, pushNotifications: true, extendedAgentCard: true,
    extensions: [{ uri: extension, description: 'says so', required: false, params: { loud: true } }],
  },
  securitySchemes: {},
  securityRequirements: [],
  defaultInputModes: ['text/plain'],
  defaultOutputModes: ['text/plain'],
  skills: [skill('shout')],
  signatures: [],
};

const textPart = (text) => ({ content: { $case: 'text', value: text }, metadata: {}, filename: '', mediaType: 'text/plain' });
const textOf = (message) => message.parts.find((p) => p.content?.$case === 'text')?.content.value ?? '';

// Tasks are listed by their time: no two of ours have the same.
let last = 0;
const now = () => {
  last = Math.max(Date.now(), last + 1);
  return new Date(last).toISOString();
};

const waiting = new Map(); // task -> what goes on with it

class Everything {
  async execute(context, bus) {
    const { taskId, contextId, userMessage } = context;
    const text = textOf(userMessage);
    const [word, argument] = text.split(' ');
    const message = (parts) => ({
      messageId: randomUUID(), contextId, taskId: '', role: Role.ROLE_AGENT, parts, metadata: {}, extensions: [], referenceTaskIds: [],
    });
    const status = (state, said) => ({ state, message: said ? { ...message([textPart(said)]), taskId } : undefined, timestamp: now() });
    const task = (state) => bus.publish(AgentEvent.task({
      id: taskId, contextId, status: status(state), artifacts: [], history: [...(context.task?.history ?? [userMessage])], metadata: {},
    }));
    const tell = (state, said) => bus.publish(AgentEvent.statusUpdate({ taskId, contextId, metadata: {}, status: status(state, said) }));
    const count = (to) => {
      for (let n = 1; n <= to; n++) {
        bus.publish(AgentEvent.artifactUpdate({
          taskId, contextId, append: n > 1, lastChunk: n === to, metadata: {},
          artifact: { artifactId: 'numbers', name: '', description: '', parts: [textPart(`${n}\n`)], metadata: {}, extensions: [] },
        }));
      }
    };

    if (context.context.requestedExtensions?.includes(extension)) context.context.addActivatedExtension(extension);
    if (context.task) { // the answer to "ask"
      task(TaskState.TASK_STATE_WORKING);
      tell(TaskState.TASK_STATE_COMPLETED, `you answered ${text}`);
    } else if (word === 'count') {
      task(TaskState.TASK_STATE_WORKING);
      count(Number(argument));
      tell(TaskState.TASK_STATE_COMPLETED);
    } else if (word === 'ask') {
      task(TaskState.TASK_STATE_SUBMITTED);
      tell(TaskState.TASK_STATE_INPUT_REQUIRED, 'which one?');
      return; // its bus waits for the answer
    } else if (word === 'wait') {
      task(TaskState.TASK_STATE_WORKING);
      await new Promise((go) => waiting.set(taskId, go)).then((goesOn) => {
        if (!goesOn) return;
        count(3);
        tell(TaskState.TASK_STATE_COMPLETED);
      });
    } else if (word === 'fail') {
      throw new Error('on purpose');
    } else {
      const go = word === 'go' && waiting.get(argument);
      if (go) go(true);
      const answer = word === 'repeat' ? 'z'.repeat(Number(argument)) : text.toUpperCase();
      bus.publish(AgentEvent.message(message(word === 'mirror' ? userMessage.parts : [textPart(answer)])));
    }
    bus.finished();
  }

  async cancelTask(taskId, bus) {
    bus.publish(AgentEvent.statusUpdate({
      taskId, contextId: '', metadata: {}, status: { state: TaskState.TASK_STATE_CANCELED, message: undefined, timestamp: now() },
    }));
    waiting.get(taskId)?.(false);
    waiting.delete(taskId);
    bus.finished();
  }
}

const extendedCard = async (context) => {
  if (!context.user?.isAuthenticated) throw new A2AError('only for callers with a token');
  return { ...card, description: `For ${context.user.userName}`, skills: [skill('shout'), skill('whisper')] };
};
const userBuilder = async (req) => ({ isAuthenticated: req.headers.authorization === token, userName: req.headers.authorization ? 'caller' : '' });

const handler = new DefaultRequestHandler(card, new InMemoryTaskStore(), new Everything(), undefined, undefined, undefined, extendedCard);
const legacyCompat = { enabled: true };
const app = express();

app.use((req, res, next) => {
  if (!req.headers['x-token-wanted'] || req.headers.authorization === token) return next();
  res.set('WWW-Authenticate', 'Bearer realm="test"').status(401).json({ error: 'a token is wanted' });
});
app.use('/.well-known/agent-card.json', agentCardHandler({ agentCardProvider: handler, legacyCompat }));
app.use('/rest', restHandler({ requestHandler: handler, userBuilder, legacyCompat }));
app.use('/', jsonRpcHandler({ requestHandler: handler, userBuilder, legacyCompat }));

if (!/^\d+$/.test(port)) rmSync(port, { force: true }); // a socket an earlier run left behind
const server = app.listen(/^\d+$/.test(port) ? Number(port) : port, () => console.log(`listening on ${port}`));
process.on('SIGTERM', () => {
  server.close(() => process.exit(0));
  server.closeAllConnections();
});
