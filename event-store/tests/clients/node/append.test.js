// Appends: expected revisions, all or nothing, repeats, and what is refused.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

import { all, connect, event, events, ids, kurrent, revisions, scenario, upTo } from "./store.js";

const { ANY, NO_STREAM, STREAM_EXISTS } = kurrent;
const { MaxAppendSizeExceededError, StreamNotFoundError } = kurrent;
const { WrongExpectedVersionError, binaryEvent, jsonEvent } = kurrent;

// The client takes its call for batches, unless a call has credentials of its own: then it takes
// the one for a single append. Without TLS it does not send them.
const CALLS = {
  batch: {},
  single: { credentials: { username: "nobody", password: "secret" } },
};

for (const [call, options] of Object.entries(CALLS)) {
  const append = (client, stream, streamState, proposed) =>
    client.appendToStream(stream, proposed, { streamState, ...options });

  scenario(`every true expectation is accepted (${call})`, async (client, name) => {
    const written = [
      await append(client, name, NO_STREAM, event()),
      await append(client, name, 0n, events(3)),
      await append(client, name, STREAM_EXISTS, events(2)),
      await append(client, name, ANY, event()),
    ];
    assert.deepEqual(
      written.map(({ success, nextExpectedRevision }) => [success, nextExpectedRevision]),
      [0n, 3n, 5n, 6n].map((revision) => [true, revision]),
    );
    const read = await all(client.readStream(name));
    assert.deepEqual(revisions(read), upTo(7));
    assert.deepEqual(
      [0, 3, 5, 6].map((last) => read[last].event.position),
      written.map(({ position }) => position),
    );
  });

  const assertRefused = async (client, stream, expected, proposed, actual) =>
    assert.rejects(append(client, stream, expected, proposed), (error) => {
      assert.ok(error instanceof WrongExpectedVersionError, error);
      assert.equal(error.streamName, stream);
      assert.equal(error.expectedState, expected);
      assert.equal(error.actualState, actual);
      return true;
    });

  scenario(`a missing stream refuses those who expect it (${call})`, async (client, name) => {
    for (const expected of [STREAM_EXISTS, 0n, 7n]) {
      await assertRefused(client, name, expected, event(), NO_STREAM);
      await assertRefused(client, name, expected, events(2), NO_STREAM);
    }
    await assert.rejects(all(client.readStream(name)), StreamNotFoundError);
  });

  scenario(`a wrong expectation is told the current revision (${call})`, async (client, name) => {
    await append(client, name, NO_STREAM, events(3));
    for (const expected of [NO_STREAM, 0n, 1n, 3n, 99n]) {
      await assertRefused(client, name, expected, event(), 2n);
      await assertRefused(client, name, expected, events(2), 2n);
    }
    assert.deepEqual(revisions(await all(client.readStream(name))), upTo(3));
  });

  scenario(`a repeat is answered as the first time (${call})`, async (client, name) => {
    for (const expected of [NO_STREAM, ANY, 1n, STREAM_EXISTS]) {
      const stream = `${name}-${expected}`;
      if (expected === 1n || expected === STREAM_EXISTS) {
        await append(client, stream, NO_STREAM, events(2));
      }
      const proposed = events(3);
      const first = await append(client, stream, expected, proposed);
      await append(client, stream, ANY, events(2));
      const before = ids(await all(client.readStream(stream)));
      assert.deepEqual(await append(client, stream, expected, proposed), first);
      const longer = append(client, stream, expected, [...proposed, event()]);
      await assert.rejects(longer, WrongExpectedVersionError);
      assert.deepEqual(ids(await all(client.readStream(stream))), before);
    }
  });

  scenario(`what was appended is read as it was (${call})`, async (client, name) => {
    const stream = `${name}-Grüße 1%`;
    const id = randomUUID();
    const data = Uint8Array.of(0, 159, 146, 150);
    const metadata = { who: "me", "ü": "ö" };
    const binary = binaryEvent({ id, type: "bytes", data, metadata });
    const text = jsonEvent({ type: "text with ü", data: { a: "ü" } });
    const { position } = await append(client, stream, NO_STREAM, [binary, text]);
    const [first, second] = (await all(client.readStream(stream))).map((one) => one.event);
    assert.deepEqual([first.id, first.type, first.streamId], [id, "bytes", stream]);
    assert.deepEqual([Uint8Array.from(first.data), first.isJson], [data, false]);
    assert.deepEqual(first.metadata, metadata);
    assert.deepEqual([second.type, second.data], ["text with ü", { a: "ü" }]);
    assert.deepEqual([second.isJson, second.metadata], [true, undefined]);
    assert.deepEqual(second.position, position);
    assert.ok(first.created instanceof Date && first.created <= second.created);
  });

  scenario(`of writers with the same expectation one wins (${call})`, async (client, name) => {
    const writes = upTo(20).map(() => append(client, name, NO_STREAM, event()));
    const outcomes = await Promise.allSettled(writes);
    const lost = outcomes.filter(({ status }) => status === "rejected");
    assert.equal(lost.length, 19);
    assert.ok(lost.every(({ reason }) => reason instanceof WrongExpectedVersionError));
    assert.deepEqual(revisions(await all(client.readStream(name))), [0]);
  });

  scenario(`a stream without a name is refused (${call})`, async (client) => {
    await assert.rejects(append(client, "", ANY, event()));
  });
}

scenario("a refused append can be an answer", async (client, name) => {
  const quiet = connect(undefined, "&throwOnAppendFailure=false");
  await quiet.appendToStream(name, events(3), { streamState: NO_STREAM });
  const refused = await quiet.appendToStream(name, event(), { streamState: 7n });
  assert.equal(refused.success, false);
  await quiet.dispose();
});

scenario("a write in many chunks is one append", async (client, name) => {
  const data = Buffer.alloc(1 << 20, 7);
  const large = upTo(20).map(() => binaryEvent({ type: "large", data }));
  const options = { streamState: NO_STREAM, batchAppendSize: 2 << 20 };
  const { nextExpectedRevision } = await client.appendToStream(name, large, options);
  assert.equal(nextExpectedRevision, 19n);
  const read = await all(client.readStream(name));
  assert.deepEqual(ids(read), large.map(({ id }) => id));
  assert.deepEqual(Buffer.compare(read[19].event.data, data), 0);
});

scenario("an append that is too large is refused and the next is not", async (client, name) => {
  const data = Buffer.alloc(8 << 20, 7);
  const large = upTo(9).map(() => binaryEvent({ type: "large", data }));
  const tooMany = client.appendToStream(name, large, { streamState: NO_STREAM });
  await assert.rejects(tooMany, (error) => {
    assert.ok(error instanceof MaxAppendSizeExceededError, error);
    assert.equal(error.maxAppendSize, 64 << 20);
    return true;
  });
  const larger = binaryEvent({ type: "large", data: Buffer.alloc(16 << 20, 7) });
  const tooLarge = client.appendToStream(name, larger, { streamState: NO_STREAM });
  await assert.rejects(tooLarge, MaxAppendSizeExceededError);
  const single = { streamState: NO_STREAM, ...CALLS.single };
  await assert.rejects(client.appendToStream(name, larger, single), /16777216/);
  await client.appendToStream(name, event(), { streamState: NO_STREAM });
});

scenario("many writes share one call and are all answered", async (client, name) => {
  const writes = upTo(500).map((number) =>
    client.appendToStream(`${name}-${number % 50}`, events(2), { streamState: ANY }),
  );
  const written = await Promise.all(writes);
  assert.equal(new Set(written.map(({ position }) => position.commit)).size, 500);
  for (const number of upTo(50)) {
    assert.deepEqual(revisions(await all(client.readStream(`${name}-${number}`))), upTo(20));
  }
});
