// Reads of streams and of the whole log, filters, metadata and links.

import assert from "node:assert/strict";

import { address, all, event, events, ids, kurrent, places } from "./store.js";
import { revisions, scenario, upTo } from "./store.js";

const { ANY, BACKWARDS, END, KurrentDBClient, NO_STREAM, START } = kurrent;
const { StreamNotFoundError, UnknownError, WrongExpectedVersionError } = kurrent;
const { binaryEvent, eventTypeFilter, excludeSystemEvents, streamNameFilter } = kurrent;

scenario("a stream is read both ways from anywhere with limits", async (client, name) => {
  await client.appendToStream(name, events(600));
  const read = async (options) => revisions(await all(client.readStream(name, options)));
  const backwards = { direction: BACKWARDS, fromRevision: END };
  assert.deepEqual(await read(), upTo(600));
  assert.deepEqual(await read({ fromRevision: START, maxCount: 3 }), [0, 1, 2]);
  assert.deepEqual(await read({ fromRevision: 598n }), [598, 599]);
  assert.deepEqual(await read({ fromRevision: 3n, maxCount: 2 }), [3, 4]);
  assert.deepEqual(await read({ fromRevision: 600n }), []);
  assert.deepEqual(await read(backwards), upTo(600).reverse());
  assert.deepEqual(await read({ ...backwards, maxCount: 2 }), [599, 598]);
  assert.deepEqual(await read({ direction: BACKWARDS, fromRevision: 2n }), [2, 1, 0]);
  assert.deepEqual(await read({ direction: BACKWARDS, fromRevision: 300n, maxCount: 1 }), [300]);
});

scenario("a read can be left in the middle", async (client, name) => {
  await client.appendToStream(name, events(600));
  for await (const { event: one } of client.readStream(name)) {
    if (one.revision === 3n) break;
  }
  assert.deepEqual(revisions(await all(client.readStream(name, { maxCount: 1 }))), [0]);
});

scenario("a missing stream is not found both ways", async (client, name) => {
  for (const how of [{}, { direction: BACKWARDS, fromRevision: END }]) {
    await assert.rejects(all(client.readStream(name, how)), (error) => {
      assert.ok(error instanceof StreamNotFoundError, error);
      assert.equal(error.streamName, name);
      return true;
    });
  }
});

/** Events of three streams and two types, in turns; the filters below pick from them. */
async function written(client, name) {
  for (const number of upTo(60)) {
    const type = `${name}${number % 2 ? "Red" : "Blue"}`;
    await client.appendToStream(`${name}-${number % 3}`, event(number, type));
  }
  await client.setStreamMetadata(`${name}-0`, { maxAge: 3600 });
  const everything = await all(client.readAll());
  return [everything, everything.filter((one) => one.event.streamId.startsWith(name))];
}

scenario("the log is read both ways from anywhere with limits", async (client, name) => {
  const [everything, mine] = await written(client, name);
  assert.equal(mine.length, 60);
  const positions = everything.map((one) => one.event.position.commit);
  assert.ok(positions.every((position, at) => !at || positions[at - 1] < position));
  const backwards = await all(client.readAll({ direction: BACKWARDS, fromPosition: END }));
  assert.deepEqual(ids(backwards.reverse()), ids(everything));
  const fromPosition = everything[30].event.position;
  const onwards = await all(client.readAll({ fromPosition, maxCount: 5 }));
  assert.deepEqual(ids(onwards), ids(everything.slice(30, 35)));
  const back = { fromPosition, direction: BACKWARDS, maxCount: 2 };
  const before = [everything[29], everything[28]];
  assert.deepEqual(ids(await all(client.readAll(back))), ids(before));
});

scenario("a position that is no event's is refused", async (client, name) => {
  const { position } = await client.appendToStream(name, event());
  const fromPosition = { commit: position.commit + 1n, prepare: position.prepare + 1n };
  await assert.rejects(all(client.readAll({ fromPosition })), UnknownError);
});

scenario("the log is filtered by streams and types", async (client, name) => {
  const [, mine] = await written(client, name);
  const read = async (filter, how = {}) => ids(await all(client.readAll({ filter, ...how })));
  const where = (isWanted) => ids(mine.filter((one) => isWanted(one.event)));
  const prefixes = [`${name}-0`, `${name}-2`];
  assert.deepEqual(
    await read(streamNameFilter({ prefixes })),
    where(({ streamId }) => prefixes.includes(streamId)),
  );
  const isRed = ({ type }) => type.endsWith("Red");
  assert.deepEqual(await read(eventTypeFilter({ prefixes: [`${name}R`] })), where(isRed));
  assert.deepEqual(await read(eventTypeFilter({ regex: `^${name}Re.$` })), where(isRed));
  const notBlue = eventTypeFilter({ regex: `^${name}(?!Blue)` });
  assert.deepEqual(await read(notBlue), where(isRed));
  const last = { direction: BACKWARDS, fromPosition: END, maxCount: 7 };
  assert.deepEqual(
    await read(streamNameFilter({ regex: `${name}-[12]$` }), last),
    where(({ streamId }) => !streamId.endsWith("0")).slice(-7).reverse(),
  );
});

scenario("system events are left out when asked", async (client, name) => {
  const [everything] = await written(client, name);
  assert.ok(everything.some((one) => one.event.type === "$metadata"));
  const read = await all(client.readAll({ filter: excludeSystemEvents() }));
  assert.deepEqual(ids(read), ids(everything.filter((one) => !one.event.type.startsWith("$"))));
});

scenario("metadata is set under its own revisions", async (client, name) => {
  assert.equal((await client.getStreamMetadata(name)).metadata, undefined);
  // The client documents `expectedRevision` and obeys the option of appends.
  await client.setStreamMetadata(name, { mine: 1 }, { streamState: NO_STREAM });
  const again = client.setStreamMetadata(name, { mine: 2 }, { streamState: 7n });
  await assert.rejects(again, WrongExpectedVersionError);
  const acl = { readRoles: ["$all"], writeRoles: ["me"] };
  const metadata = { mine: 3, maxCount: 2, maxAge: 60, truncateBefore: 1, acl };
  await client.setStreamMetadata(name, metadata, { streamState: 0n });
  assert.deepEqual((await client.getStreamMetadata(name)).metadata, metadata);
  await assert.rejects(all(client.readStream(name)), StreamNotFoundError);
});

scenario("metadata hides what is too many or too early", async (client, name) => {
  const read = async (options) => revisions(await all(client.readStream(name, options)));
  await client.appendToStream(name, events(6));
  await client.setStreamMetadata(name, { maxCount: 2 });
  assert.deepEqual(await read(), [4, 5]);
  assert.deepEqual(await read({ direction: BACKWARDS, fromRevision: END }), [5, 4]);
  await client.setStreamMetadata(name, { truncateBefore: 3 });
  assert.deepEqual(await read(), [3, 4, 5]);
  assert.deepEqual(await read({ fromRevision: 1n }), [3, 4, 5]);
  assert.deepEqual(await read({ direction: BACKWARDS, fromRevision: 1n }), []);
  await client.setStreamMetadata(name, { truncateBefore: 3, maxCount: 1 });
  assert.deepEqual(await read(), [5]);
  await client.setStreamMetadata(name, { maxAge: 3600 });
  assert.deepEqual(await read(), upTo(6));
});

scenario("links lead to their events when asked", async (client, name) => {
  await client.appendToStream(name, events(3));
  const link = (to) => binaryEvent({ type: "$>", data: Buffer.from(to) });
  const targets = [`1@${name}`, `9@${name}`, `0@${name}-nothing`];
  await client.appendToStream(`${name}-links`, targets.map(link), { streamState: ANY });
  const plain = await all(client.readStream(`${name}-links`));
  assert.ok(plain.every((one) => one.event.type === "$>" && !one.link));
  const resolved = await all(client.readStream(`${name}-links`, { resolveLinkTos: true }));
  assert.deepEqual(places(resolved.slice(0, 1)), targets.slice(0, 1));
  assert.deepEqual(ids(resolved), ids(plain));
  assert.ok(resolved.slice(1).every((one) => one.event === undefined));
});

scenario(
  "the node is found by its gossip",
  async (client, name) => {
    await client.appendToStream(name, events(2));
    assert.deepEqual(revisions(await all(client.readStream(name))), [0, 1]);
  },
  () => KurrentDBClient.connectionString(`kurrentdb+discover://${address}?tls=false`),
);

scenario("the capabilities are those of a server of version 25", async (client) => {
  const { serverVersion } = await client.capabilities;
  assert.match(serverVersion, /^25\.\d+\.\d+$/);
});
