// Errors that no other file provokes, and which file provokes each of the others.
//
// The errors that the protocol knows, and where this client meets them:
//
// - stream-deleted, wrong-expected-version: append, delete, read, subscribe, sessions
// - an append or an event that is too large: append, sessions, and in a call of its own here
// - access-denied, and credentials that are wrong: access, guarded
// - the five of persistent subscriptions: persistent
// - a call or a write that is not answered in time, a consumer that is too slow, a store that
//   stops: here
//
// Two cannot be had from this store by this client:
//
// - not-leader: a store is one node, which always leads; nothing makes it say otherwise.
// - missing-required-metadata-property: the client always sends the type and the content type.
//
// And reads and sessions have no deadline: the client takes none for them.

import assert from "node:assert/strict";

import { withProgram } from "./program.js";
import { Following, all, connect, event, events, kurrent, scenario, upTo } from "./store.js";

const { DeadlineExceededError, MaxAppendSizeExceededError, NO_STREAM, START } = kurrent;
const { StreamNotFoundError, UnavailableError, UnknownError, binaryEvent } = kurrent;
const settings = kurrent.persistentSubscriptionToStreamSettingsFromDefaults;
const GROUP = "workers";
const ABORTED = 10;
// The client takes its call for a single append when a call has credentials of its own.
const SINGLE = { credentials: { username: "nobody", password: "secret" } };

scenario("a call that is not answered in time fails as such", async (_, name) => {
  await withProgram(async (program) => {
    const client = connect(program.address);
    await client.appendToStream(name, events(3), SINGLE);
    await client.createPersistentSubscriptionToStream(name, GROUP, settings());
    program.freeze();
    const soon = { deadline: 100 };
    for (const call of [
      () => client.appendToStream(name, event(), { ...SINGLE, ...soon }),
      () => client.deleteStream(`${name}-a`, soon),
      () => client.tombstoneStream(`${name}-b`, soon),
      () => client.createPersistentSubscriptionToStream(name, "late", settings(), soon),
      () => client.getPersistentSubscriptionToStreamInfo(name, GROUP, soon),
      () => client.replayParkedMessagesToStream(name, GROUP, soon),
    ]) {
      await assert.rejects(call(), (error) => {
        assert.ok(error instanceof DeadlineExceededError, `${call}: ${error}`);
        return true;
      });
    }
    program.thaw();
    const written = await client.appendToStream(`${name}-c`, event());
    assert.equal(written.nextExpectedRevision, 0n);
    await client.dispose();
  });
});

scenario("a write that comes too late is not written", async (client, name) => {
  // Batches tell the server until when; the session that they share goes on.
  for (const proposed of [event(), events(3)]) {
    const late = client.appendToStream(name, proposed, { deadline: -1000 });
    await assert.rejects(late, DeadlineExceededError);
  }
  await assert.rejects(all(client.readStream(name)), StreamNotFoundError);
  await client.appendToStream(name, event(), { streamState: NO_STREAM });
});

scenario("an append in a call of its own can be too large", async (client, name) => {
  const data = Buffer.alloc(8 << 20, 7);
  const large = upTo(9).map(() => binaryEvent({ type: "large", data }));
  await assert.rejects(client.appendToStream(name, large, SINGLE), (error) => {
    assert.ok(error instanceof MaxAppendSizeExceededError, error);
    assert.equal(error.maxAppendSize, 64 << 20);
    return true;
  });
  await assert.rejects(all(client.readStream(name)), StreamNotFoundError);
});

scenario("a consumer that takes nothing is told that it is too slow", async (client, name) => {
  const large = binaryEvent({ type: "large", data: Buffer.alloc(256 << 10, 7) });
  await client.appendToStream(name, large);
  const impatient = settings({ startFrom: START, messageTimeout: 1, maxRetryCount: 1_000_000 });
  await client.createPersistentSubscriptionToStream(name, GROUP, impatient);
  const follow = (bufferSize) =>
    client.subscribeToPersistentSubscriptionToStream(name, GROUP, { bufferSize });
  const slow = follow(2);
  const failure = new Promise((told) => slow.once("error", told));
  const connections = async () =>
    (await client.getPersistentSubscriptionToStreamInfo(name, GROUP)).connections.length;
  await new Promise((told) => slow.once("confirmation", told));
  // The event is sent again and again, until no more fits on the way to somebody who does not read.
  while ((await connections()) > 0);
  slow.resume();
  const error = await failure;
  // The client has no error of its own for it: what it cannot tell apart keeps code and words.
  assert.ok(error instanceof UnknownError, error);
  assert.equal(error.code, ABORTED);
  assert.match(error.message, /Consumer too slow/);
  // The group goes on without it. The next one has room for what comes before it is heard.
  const next = new Following(follow(10_000));
  assert.equal((await next.take(1))[0].event.id, large.id);
  await next.stop();
});

scenario("a store that stops says that it is unavailable", async (_, name) => {
  await withProgram(async (program) => {
    const client = connect(program.address);
    await client.appendToStream(name, event());
    const fromStart = settings({ startFrom: START });
    await client.createPersistentSubscriptionToStream(name, GROUP, fromStart);
    const followings = [
      client.subscribeToStream(name),
      client.subscribeToAll(),
      client.subscribeToPersistentSubscriptionToStream(name, GROUP),
    ].map((subscription) => new Following(subscription));
    for (const following of followings) await following.take(1);
    await program.stop();
    for (const following of followings) {
      const error = await following.failure();
      assert.ok(error instanceof UnavailableError, error);
    }
    await client.dispose();
    await program.start();
  });
});
