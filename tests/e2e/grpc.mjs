// A gRPC service and a client of it, both by the library that people use.
//
//   node grpc.mjs serve [--key FILE --certificate FILE]
//     prints {"port": N}, and of every call what it was told: {"call": …}
//   node grpc.mjs ask --address HOST:PORT --authority NAME --ca FILE
//     makes each kind of call once and prints how it went, a line each
//
// Messages are JSON: a proxy does not read them.
import grpc from '@grpc/grpc-js';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

const { values: given, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    key: { type: 'string' },
    certificate: { type: 'string' },
    address: { type: 'string' },
    authority: { type: 'string' },
    ca: { type: 'string' },
  },
});

const write = (message) => Buffer.from(JSON.stringify(message));
const read = (bytes) => JSON.parse(bytes.toString());
const method = (name, requestStream, responseStream) => ({
  path: `/test.Echo/${name}`,
  requestStream,
  responseStream,
  requestSerialize: write,
  requestDeserialize: read,
  responseSerialize: write,
  responseDeserialize: read,
});
const service = {
  one: method('One', false, false),
  many: method('Many', false, true),
  sum: method('Sum', true, false),
  talk: method('Talk', true, true),
  fail: method('Fail', false, false),
  wait: method('Wait', false, false),
  tick: method('Tick', false, true),
  die: method('Die', false, true),
};
// What only people who are signed in may call.
const inner = { secret: { ...method('Secret', false, false), path: '/test.Inner/Secret' } };

const say = (what) => console.log(JSON.stringify(what));
const plain = (metadata) =>
  Object.fromEntries(Object.entries(metadata.getMap()).map(([name, value]) => [name, value.toString()]));

function serve() {
  const ended = (name) => (call) => {
    say({ call: name });
    call.on('cancelled', () => say({ cancelled: name }));
  };
  const server = new grpc.Server();
  server.addService(service, {
    one(call, done) {
      say({ call: 'one', metadata: plain(call.metadata) });
      const first = new grpc.Metadata();
      first.set('x-first', 'a');
      first.set('remote-user', 'mallory');
      call.sendMetadata(first);
      const last = new grpc.Metadata();
      last.set('x-last', 'z');
      last.set('x-bytes-bin', Buffer.from([0, 1, 254, 255]));
      last.set('remote-user', 'mallory');
      done(null, { text: call.request.text, length: call.request.text.length }, last);
    },
    many(call) {
      for (let number = 0; number < call.request.count; number += 1) {
        call.write({ number, text: 'x'.repeat(call.request.size) });
      }
      call.end();
    },
    sum(call, done) {
      let sum = 0;
      let count = 0;
      call.on('data', (message) => {
        sum += message.number;
        count += 1;
      });
      call.on('end', () => done(null, { sum, count }));
    },
    talk(call) {
      call.on('data', (message) => call.write({ answer: message.number * 2 }));
      call.on('end', () => call.end());
    },
    fail(_call, done) {
      const last = new grpc.Metadata();
      last.set('x-last', 'z');
      done({ code: grpc.status.NOT_FOUND, details: 'nothing at 100 % “there”', metadata: last });
    },
    wait: ended('wait'),
    tick(call) {
      ended('tick')(call);
      const timer = setInterval(() => call.write({ tick: true }), 20);
      call.on('cancelled', () => clearInterval(timer));
    },
    die(call) {
      call.write({ last: 'word' });
      // After the word has left.
      setTimeout(() => process.exit(0), 200);
    },
  });
  server.addService(inner, { secret: (_call, done) => done(null, { secret: true }) });
  const credentials = given.key
    ? grpc.ServerCredentials.createSsl(null, [
        { private_key: readFileSync(given.key), cert_chain: readFileSync(given.certificate) },
      ])
    : grpc.ServerCredentials.createInsecure();
  server.bindAsync('127.0.0.1:0', credentials, (error, port) => {
    if (error) throw error;
    say({ port });
  });
}

async function ask() {
  const options = {
    'grpc.ssl_target_name_override': given.authority,
    'grpc.default_authority': given.address.replace(/^[^:]*/, given.authority),
    'grpc.enable_retries': 0,
  };
  const trust = grpc.credentials.createSsl(readFileSync(given.ca));
  const Client = grpc.makeGenericClientConstructor({ ...service, ...inner }, 'Echo');
  const client = new Client(given.address, trust, options);
  const soon = () => ({ deadline: Date.now() + 10_000 });
  const failure = (error) => ({ code: error.code, details: error.details });
  /** A call with one answer. */
  const single = (name, message, metadata = new grpc.Metadata(), option = soon()) =>
    new Promise((resolve) => {
      const told = {};
      const call = client[name](message, metadata, option, (error, answer) => {
        told.answer = answer;
        if (error) Object.assign(told, failure(error));
      });
      call.on('metadata', (first) => (told.first = plain(first)));
      call.on('status', (status) => {
        told.code = status.code;
        told.last = plain(status.metadata);
        // The callback comes in the same turn.
        setImmediate(() => resolve(told));
      });
    });
  /** Everything that a stream of answers told. */
  const streamed = (call, each = () => {}) =>
    new Promise((resolve) => {
      const told = { answers: [] };
      call.on('data', (answer) => {
        told.answers.push(answer);
        each(told.answers, call);
      });
      call.on('error', (error) => Object.assign(told, failure(error)));
      call.on('status', (status) => {
        told.code = status.code;
        setImmediate(() => resolve(told));
      });
    });

  const metadata = new grpc.Metadata();
  metadata.set('x-note', 'kept');
  metadata.set('x-trace-bin', Buffer.from([0, 1, 254, 255]));
  metadata.set('remote-user', 'admin');
  say({ one: await single('one', { text: 'hello' }, metadata) });

  const many = await streamed(client.many({ count: 20, size: 100_000 }, soon()));
  const whole = many.answers.filter((answer, at) => answer.number === at && answer.text.length === 100_000);
  say({ many: { code: many.code, whole: whole.length, count: many.answers.length } });

  const sum = await new Promise((resolve) => {
    const call = client.sum(soon(), (error, answer) => resolve(error ? failure(error) : { code: 0, answer }));
    for (let number = 1; number <= 1000; number += 1) call.write({ number, text: 'y'.repeat(500) });
    call.end();
  });
  say({ sum });

  // Each word waits for the answer to the one before.
  const talk = client.talk(soon());
  talk.write({ number: 1 });
  const talked = await streamed(talk, (answers) => {
    if (answers.length < 10) talk.write({ number: answers.length + 1 });
    else talk.end();
  });
  say({ talk: talked });

  const beside = await Promise.all(
    Array.from({ length: 50 }, (_, number) => single('one', { text: `number ${number}` })),
  );
  const right = beside.filter((told, number) => told.code === 0 && told.answer.text === `number ${number}`);
  say({ beside: right.length });

  say({ fail: await single('fail', {}) });
  say({ wait: await single('wait', {}, undefined, { deadline: Date.now() + 500 }) });
  say({ tick: await streamed(client.tick({}, soon()), (answers, call) => answers.length === 5 && call.cancel()) });
  say({ secret: await single('secret', {}) });
  say({ die: await streamed(client.die({}, soon())) });
  say({ gone: await single('one', { text: 'anybody?' }) });
  client.close();
}

const verbs = { serve, ask };
const verb = verbs[positionals[0]];
if (!verb) throw new Error(`not a verb: ${positionals[0]}`);
await verb();
