// Catch-up subscriptions to streams and to the whole log.

import assert from "node:assert/strict";

import { Following, all, event, events, ids, kurrent, places } from "./store.js";
import { revisions, scenario, upTo } from "./store.js";

const { END, StreamDeletedError, binaryEvent, eventTypeFilter, streamNameFilter } = kurrent;

scenario("a stream is followed from its start and then live", async (client, name) => {
  await client.appendToStream(name, events(600));
  const following = new Following(client.subscribeToStream(name));
  assert.deepEqual(revisions(await following.take(600)), upTo(600));
  for (const revision of upTo(610, 600)) {
    await client.appendToStream(`${name}-other`, event());
    await client.appendToStream(name, event());
    assert.deepEqual(revisions(await following.take(1)), [revision]);
  }
  assert.match(following.subscription.id, /^[0-9a-f-]{36}$/);
  await following.stop();
});

scenario("a revision to start from is not delivered again", async (client, name) => {
  await client.appendToStream(name, events(3));
  const following = new Following(client.subscribeToStream(name, { fromRevision: 1n }));
  assert.deepEqual(revisions(await following.take(1)), [2]);
  await client.appendToStream(name, event());
  assert.deepEqual(revisions(await following.take(1)), [3]);
  await following.stop();
});

scenario("from the end only what is new is delivered", async (client, name) => {
  await client.appendToStream(name, events(3));
  const stream = new Following(client.subscribeToStream(name, { fromRevision: END }));
  const log = new Following(client.subscribeToAll({ fromPosition: END }));
  for (const following of [stream, log]) await following.until((said) => said.caughtUp.length);
  await client.appendToStream(name, events(2));
  for (const following of [stream, log]) {
    assert.deepEqual(places(await following.take(2)), [`3@${name}`, `4@${name}`]);
    await following.stop();
  }
});

scenario("a stream that does not exist is waited for", async (client, name) => {
  const following = new Following(client.subscribeToStream(name));
  await following.until((said) => said.caughtUp.length);
  assert.equal(following.caughtUp[0].revision, undefined);
  await client.appendToStream(name, event());
  assert.deepEqual(revisions(await following.take(1)), [0]);
  await following.stop();
});

scenario("being caught up is told once with the place", async (client, name) => {
  const { position } = await client.appendToStream(name, events(3));
  const stream = new Following(client.subscribeToStream(name));
  const log = new Following(client.subscribeToAll({ fromPosition: position }));
  for (const following of [stream, log]) await following.until((said) => said.caughtUp.length);
  await client.appendToStream(name, events(2));
  await stream.take(5);
  await log.take(2);
  assert.deepEqual([stream.caughtUp.length, log.caughtUp.length], [1, 1]);
  assert.equal(stream.caughtUp[0].revision, 2n);
  assert.deepEqual(log.caughtUp[0].position, position);
  assert.ok(log.caughtUp[0].date instanceof Date);
  await stream.stop();
  await log.stop();
});

scenario("the log is followed from its start as it is read", async (client, name) => {
  await client.appendToStream(name, events(5));
  const everything = await all(client.readAll());
  const following = new Following(client.subscribeToAll());
  assert.deepEqual(ids(await following.take(everything.length)), ids(everything));
  await client.appendToStream(name, event());
  assert.deepEqual(places(await following.take(1)), [`5@${name}`]);
  await following.stop();
});

async function noiseAndTones(client, name) {
  const { position } = await client.appendToStream(name, event(0, "first"));
  for (const _ of upTo(20)) {
    await client.appendToStream(`${name}-noise`, events(9, `${name}Noise`));
    await client.appendToStream(`${name}-wanted`, event(0, `${name}Tone`));
  }
  return position;
}

scenario("filters work in the server", async (client, name) => {
  const fromPosition = await noiseAndTones(client, name);
  for (const filter of [
    streamNameFilter({ prefixes: [`${name}-w`, `${name}-x`] }),
    streamNameFilter({ regex: `^${name}-w` }),
    eventTypeFilter({ prefixes: [`${name}Ton`] }),
    eventTypeFilter({ regex: `^${name}Tone$` }),
    eventTypeFilter({ regex: `^(?!${name}Noise|first|\\$)` }),
  ]) {
    const following = new Following(client.subscribeToAll({ fromPosition, filter }));
    const wanted = upTo(20).map((revision) => `${revision}@${name}-wanted`);
    assert.deepEqual(places(await following.take(20)), wanted);
    await following.stop();
  }
});

scenario("checkpoints go only forward and one is a place to resume", async (client, name) => {
  const fromPosition = await noiseAndTones(client, name);
  for (const maxSearchWindow of [10, undefined]) {
    const checkpoints = [];
    const filter = eventTypeFilter({
      prefixes: [`${name}Tone`],
      maxSearchWindow,
      checkpointInterval: 2,
      checkpointReached: (_, position) => checkpoints.push(position),
    });
    const following = new Following(client.subscribeToAll({ fromPosition, filter }));
    await following.until((said) => said.caughtUp.length);
    await following.take(20);
    await following.stop();
    const commits = checkpoints.map(({ commit }) => commit);
    assert.ok(commits.length >= (maxSearchWindow ? 9 : 3), `${commits}`);
    assert.ok(commits.every((commit, at) => !at || commits[at - 1] < commit));
    assert.deepEqual(following.caughtUp[0].position, checkpoints.at(-1));
    const middle = checkpoints[1];
    const resumed = new Following(client.subscribeToAll({ fromPosition: middle, filter }));
    const left = following.events.filter((one) => one.event.position.commit > middle.commit);
    assert.deepEqual(ids(await resumed.take(left.length)), ids(left));
    await resumed.stop();
  }
});

scenario("links lead to their events when asked", async (client, name) => {
  await client.appendToStream(name, events(3));
  const link = binaryEvent({ type: "$>", data: Buffer.from(`1@${name}`) });
  await client.appendToStream(`${name}-links`, link);
  const options = { resolveLinkTos: true };
  const following = new Following(client.subscribeToStream(`${name}-links`, options));
  const [resolved] = await following.take(1);
  assert.deepEqual(places([resolved]), [`1@${name}`]);
  assert.equal(resolved.link.id, link.id);
  await following.stop();
});

scenario("a tombstone ends a subscription", async (client, name) => {
  await client.appendToStream(name, event());
  const following = new Following(client.subscribeToStream(name));
  await following.take(1);
  await client.tombstoneStream(name);
  const [last] = await following.take(1);
  assert.equal(last.event.type, "$streamDeleted");
  assert.ok((await following.failure()) instanceof StreamDeletedError);
});

scenario("many subscriptions all see everything in order", async (client, name) => {
  const followings = upTo(25).map(() => new Following(client.subscribeToStream(name)));
  for (const number of upTo(20)) {
    await client.appendToStream(name, events((number % 3) + 1));
  }
  const count = upTo(20).reduce((sum, number) => sum + (number % 3) + 1, 0);
  for (const following of followings) {
    assert.deepEqual(revisions(await following.take(count)), upTo(count));
    await following.stop();
  }
});
