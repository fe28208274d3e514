// Soft deletion, revival, tombstones, and the errors of each.

import assert from "node:assert/strict";

import { Following, all, event, events, kurrent, revisions, scenario, upTo } from "./store.js";

const { ANY, BACKWARDS, END, NO_STREAM, STREAM_EXISTS, streamNameFilter } = kurrent;
const { StreamDeletedError, StreamNotFoundError, WrongExpectedVersionError } = kurrent;

scenario("a deleted stream is not found", async (client, name) => {
  for (const expectedRevision of [ANY, 2n]) {
    const stream = `${name}-${expectedRevision}`;
    const { position } = await client.appendToStream(stream, events(3));
    const deleted = await client.deleteStream(stream, { expectedRevision });
    assert.ok(deleted.position.commit > position.commit);
    await assert.rejects(all(client.readStream(stream)), StreamNotFoundError);
  }
});

const isRefused = (stream, expected, actual) => (error) => {
  assert.ok(error instanceof WrongExpectedVersionError, error);
  assert.equal(error.streamName, stream);
  assert.equal(error.expectedState, expected);
  assert.equal(error.actualState, actual);
  return true;
};

scenario("a deletion with a wrong expectation is refused", async (client, name) => {
  await client.appendToStream(name, events(3));
  for (const expected of [0n, 1n, 3n]) {
    const refused = isRefused(name, expected, 2n);
    const how = { expectedRevision: expected };
    await assert.rejects(client.deleteStream(name, how), refused);
    await assert.rejects(client.tombstoneStream(name, how), refused);
  }
  const how = { expectedRevision: NO_STREAM };
  await assert.rejects(client.deleteStream(name, how), isRefused(name, -1n, 2n));
  assert.deepEqual(revisions(await all(client.readStream(name))), upTo(3));
});

scenario("a stream that never was cannot be deleted", async (client, name) => {
  for (const expectedRevision of [ANY, NO_STREAM, 0n]) {
    const deletion = client.deleteStream(name, { expectedRevision });
    await assert.rejects(deletion, WrongExpectedVersionError);
  }
});

scenario("a deleted stream does not exist but can be deleted again", async (client, name) => {
  await client.appendToStream(name, events(3));
  await client.deleteStream(name);
  await client.deleteStream(name);
  const single = { credentials: { username: "nobody", password: "secret" } };
  for (const call of [{}, single]) {
    const append = client.appendToStream(name, event(), { streamState: STREAM_EXISTS, ...call });
    await assert.rejects(append, StreamDeletedError);
  }
});

scenario("a deleted stream is revived where it ended", async (client, name) => {
  for (const streamState of [NO_STREAM, ANY, 2n]) {
    const stream = `${name}-${streamState}`;
    await client.appendToStream(stream, events(3));
    await client.setStreamMetadata(stream, { mine: 1 });
    await client.deleteStream(stream);
    const { nextExpectedRevision } = await client.appendToStream(stream, events(2), {
      streamState,
    });
    assert.equal(nextExpectedRevision, 4n);
    assert.deepEqual(revisions(await all(client.readStream(stream))), [3, 4]);
    const { metadata } = await client.getStreamMetadata(stream);
    assert.deepEqual(metadata, { mine: 1, truncateBefore: 3 });
  }
});

scenario("a deletion leaves the events in the log", async (client, name) => {
  await client.appendToStream(name, events(3));
  await client.deleteStream(name);
  const filter = streamNameFilter({ prefixes: [name] });
  assert.deepEqual(revisions(await all(client.readAll({ filter }))), upTo(3));
});

scenario("a tombstone ends a stream for ever", async (client, name) => {
  const single = { credentials: { username: "nobody", password: "secret" } };
  for (const expectedRevision of [ANY, 2n]) {
    const stream = `${name}-${expectedRevision}`;
    await client.appendToStream(stream, events(3));
    await client.tombstoneStream(stream, { expectedRevision });
    for (const again of [
      () => all(client.readStream(stream)),
      () => all(client.readStream(stream, { direction: BACKWARDS, fromRevision: END })),
      () => client.appendToStream(stream, event()),
      () => client.appendToStream(stream, event(), single),
      () => client.appendToStream(stream, event(), { streamState: NO_STREAM }),
      () => client.deleteStream(stream),
      () => client.tombstoneStream(stream),
      () => new Following(client.subscribeToStream(stream)).take(1),
    ]) {
      await assert.rejects(again(), (error) => {
        assert.ok(error instanceof StreamDeletedError, `${again}: ${error}`);
        assert.equal(error.streamName, stream);
        return true;
      });
    }
  }
});

scenario("a stream that never was can be ended", async (client, name) => {
  await client.tombstoneStream(name);
  await assert.rejects(client.appendToStream(name, event()), StreamDeletedError);
  const wrong = client.tombstoneStream(`${name}-exact`, { expectedRevision: 0n });
  await assert.rejects(wrong, WrongExpectedVersionError);
});
