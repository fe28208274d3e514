// Appends to several streams at once, with the second version of the protocol.

import assert from "node:assert/strict";

import { Following, all, event, events, ids, kurrent, revisions } from "./store.js";
import { scenario, upTo } from "./store.js";

const { ANY, END, NO_STREAM, STREAM_EXISTS, STREAM_STATE, binaryEvent, jsonEvent } = kurrent;
const { AppendConsistencyViolationError, AppendRecordSizeExceededError } = kurrent;
const { StreamNotFoundError, StreamTombstonedError } = kurrent;
const { TransactionMaxSizeExceededError, WrongExpectedVersionError } = kurrent;

const to = (streamName, expectedState, proposed) => ({
  streamName,
  expectedState,
  events: proposed,
});
const record = (streamName, more) => ({ streamName, record: event(1, "tested", more) });
const check = (streamName, expectedState) => ({ type: STREAM_STATE, streamName, expectedState });

const mine = async (client, name) =>
  (await all(client.readAll())).filter((one) => one.event.streamId.startsWith(name));
const read = async (client, stream) => revisions(await all(client.readStream(stream)));
const assertMissing = (client, stream) =>
  assert.rejects(all(client.readStream(stream)), StreamNotFoundError);

scenario("several streams are appended to at once", async (client, name) => {
  const [a, b, c] = ["a", "b", "c"].map((letter) => `${name}-${letter}`);
  await client.appendToStream(b, events(2));
  const proposed = [events(3), events(1), events(2)];
  const { position, responses } = await client.multiStreamAppend([
    to(a, NO_STREAM, proposed[0]),
    to(b, 1n, proposed[1]),
    to(c, ANY, proposed[2]),
  ]);
  assert.deepEqual(responses, [
    { streamName: a, revision: 2n },
    { streamName: b, revision: 2n },
    { streamName: c, revision: 1n },
  ]);
  const log = (await mine(client, name)).slice(2);
  assert.deepEqual(ids(log), proposed.flat().map(({ id }) => id));
  assert.equal(log.at(-1).event.position.commit, position);
  await client.multiStreamAppend([to(a, STREAM_EXISTS, events(1))]);
  assert.deepEqual(await read(client, a), upTo(4));
});

scenario("what was appended in a session is read as it was", async (client, name) => {
  const data = Uint8Array.of(0, 159);
  const binary = binaryEvent({ type: "bytes", data, metadata: { who: "me" } });
  const text = jsonEvent({ type: "text", data: { a: "ü" } });
  await client.multiStreamAppend([to(name, NO_STREAM, [binary, text])]);
  const [first, second] = (await all(client.readStream(name))).map((one) => one.event);
  assert.deepEqual([first.id, first.type, first.isJson], [binary.id, "bytes", false]);
  assert.deepEqual(Uint8Array.from(first.data), data);
  assert.equal(first.metadata.who, "me");
  assert.deepEqual([second.isJson, second.data], [true, { a: "ü" }]);
});

scenario("one wrong expectation refuses all", async (client, name) => {
  const [a, b] = [`${name}-a`, `${name}-b`];
  await client.appendToStream(b, events(3));
  const refused = (stream, expected, actual) => (error) => {
    assert.ok(error instanceof WrongExpectedVersionError, error);
    assert.deepEqual(
      [error.streamName, error.expectedState, error.actualState],
      [stream, expected, actual],
    );
    return true;
  };
  for (const expected of [NO_STREAM, 0n, 7n]) {
    const session = [to(a, NO_STREAM, events(1)), to(b, expected, events(1))];
    await assert.rejects(client.multiStreamAppend(session), refused(b, expected, 2n));
  }
  const session = [to(b, 2n, events(1)), to(a, STREAM_EXISTS, events(1))];
  const missing = refused(a, STREAM_EXISTS, NO_STREAM);
  await assert.rejects(client.multiStreamAppend(session), missing);
  await assertMissing(client, a);
  assert.deepEqual(await read(client, b), upTo(3));
});

scenario("a repeated session is answered as the first time", async (client, name) => {
  const session = [to(`${name}-a`, NO_STREAM, events(2)), to(`${name}-b`, NO_STREAM, events(1))];
  const first = await client.multiStreamAppend(session);
  assert.deepEqual(await client.multiStreamAppend(session), first);
  assert.deepEqual(await read(client, `${name}-a`), upTo(2));
});

scenario("a stream is in a session once", async (client, name) => {
  const session = [to(name, NO_STREAM, events(1)), to(name, 0n, events(1))];
  await assert.rejects(client.multiStreamAppend(session), /already|once|session/i);
  await assertMissing(client, name);
});

scenario("an ended stream refuses all", async (client, name) => {
  await client.tombstoneStream(`${name}-b`);
  const session = [to(`${name}-a`, ANY, events(1)), to(`${name}-b`, ANY, events(1))];
  await assert.rejects(client.multiStreamAppend(session), (error) => {
    assert.ok(error instanceof StreamTombstonedError, error);
    assert.equal(error.stream, `${name}-b`);
    return true;
  });
  await assertMissing(client, `${name}-a`);
});

scenario("records and sessions that are too large are refused", async (client, name) => {
  const large = (size) => binaryEvent({ type: "large", data: Buffer.alloc(size, 7) });
  const one = large((16 << 20) + 1);
  const session = [to(name, ANY, events(1)), to(`${name}-b`, ANY, [one])];
  await assert.rejects(client.multiStreamAppend(session), (error) => {
    assert.ok(error instanceof AppendRecordSizeExceededError, error);
    assert.deepEqual([error.stream, error.recordId], [`${name}-b`, one.id]);
    assert.equal(error.maxSize, 16 << 20);
    return true;
  });
  const nine = upTo(9).map((number) => to(`${name}-${number}`, ANY, [large(8 << 20)]));
  await assert.rejects(client.multiStreamAppend(nine), (error) => {
    assert.ok(error instanceof TransactionMaxSizeExceededError, error);
    assert.equal(error.maxSize, 64 << 20);
    return true;
  });
  await assertMissing(client, name);
  await assertMissing(client, `${name}-0`);
});

scenario("records of many streams are appended in their order", async (client, name) => {
  const [a, b] = [`${name}-a`, `${name}-b`];
  const records = [record(a), record(b), record(a, { metadata: { who: "me" } })];
  const { position, responses } = await client.appendRecords(records);
  const ends = new Map(responses.map(({ streamName, revision }) => [streamName, revision]));
  assert.deepEqual([ends.size, ends.get(a), ends.get(b)], [2, 1n, 0n]);
  const log = await mine(client, name);
  assert.deepEqual(ids(log), records.map((one) => one.record.id));
  assert.equal(log[2].event.position.commit, position);
  assert.equal(log[2].event.metadata.who, "me");
});

scenario("checks on streams that are not written are kept to", async (client, name) => {
  const [written, watched, none] = ["written", "watched", "none"].map((of) => `${name}-${of}`);
  await client.appendToStream(watched, events(3));
  for (const fits of [check(watched, 2n), check(watched, STREAM_EXISTS), check(none, NO_STREAM)]) {
    await client.appendRecords([record(written)], [fits]);
  }
  const checks = [check(written, 2n), check(watched, 1n), check(none, STREAM_EXISTS)];
  await assert.rejects(client.appendRecords([record(written)], checks), (error) => {
    assert.ok(error instanceof AppendConsistencyViolationError, error);
    assert.deepEqual(error.violations, [
      { checkIndex: 1, streamName: watched, expectedState: 1n, actualState: 2n },
      { checkIndex: 2, streamName: none, expectedState: STREAM_EXISTS, actualState: NO_STREAM },
    ]);
    return true;
  });
  assert.deepEqual(await read(client, written), upTo(3));
});

scenario("a subscription sees a session as a whole and in order", async (client, name) => {
  const following = new Following(client.subscribeToAll({ fromPosition: END }));
  await following.until((said) => said.caughtUp.length);
  const session = upTo(10).map((number) => to(`${name}-${number}`, NO_STREAM, events(3)));
  await client.multiStreamAppend(session);
  const proposed = session.flatMap((one) => one.events.map(({ id }) => id));
  assert.deepEqual(ids(await following.take(30)), proposed);
  await following.stop();
});
