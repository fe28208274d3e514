// Persistent subscriptions: groups of consumers, what they acknowledge, and the errors.

import assert from "node:assert/strict";

import { withProgram } from "./program.js";
import { Following, all, connect, event, events, kurrent, places } from "./store.js";
import { revisions, scenario, upTo } from "./store.js";

const { END, PARK, RETRY, ROUND_ROBIN, SKIP, START, binaryEvent, eventTypeFilter } = kurrent;
const { PersistentSubscriptionDoesNotExistError, PersistentSubscriptionDroppedError } = kurrent;
const { PersistentSubscriptionExistsError, PersistentSubscriptionFailedError } = kurrent;
const { PersistentSubscriptionMaximumSubscribersReachedError } = kurrent;
const toStream = kurrent.persistentSubscriptionToStreamSettingsFromDefaults;
const toAll = kurrent.persistentSubscriptionToAllSettingsFromDefaults;
const GROUP = "workers";

const create = (client, stream, settings) =>
  client.createPersistentSubscriptionToStream(
    stream,
    GROUP,
    toStream({ startFrom: START, ...settings }),
  );
const follow = (client, stream, options) =>
  new Following(client.subscribeToPersistentSubscriptionToStream(stream, GROUP, options));
const info = (client, stream) => client.getPersistentSubscriptionToStreamInfo(stream, GROUP);

/** The figures of the group, as soon as they are what was done. */
async function infoUntil(client, stream, isTrue) {
  for (;;) {
    const told = await info(client, stream);
    if (isTrue(told)) return told;
  }
}

scenario("a group is given the stream from its start and then live", async (client, name) => {
  await client.appendToStream(name, events(300));
  await create(client, name);
  const following = follow(client, name);
  for (const begin of [0, 100, 200]) {
    const taken = [];
    // The buffer of a consumer is small: the next come when these are acknowledged.
    while (taken.length < 100) {
      const [one] = await following.take(1);
      await following.subscription.ack(one);
      taken.push(one);
    }
    assert.deepEqual(revisions(taken), upTo(begin + 100, begin));
    assert.ok(taken.every((one) => one.retryCount === 0));
  }
  await client.appendToStream(name, event());
  assert.deepEqual(revisions(await following.take(1)), [300]);
  await following.stop();
});

scenario("a group begins where it was told", async (client, name) => {
  await client.appendToStream(name, events(5));
  await create(client, name, { startFrom: 3n });
  const middle = follow(client, name);
  // Unlike a subscription of one's own, a group begins with this event itself.
  assert.deepEqual(revisions(await middle.take(2)), [3, 4]);
  await middle.stop();
  const end = toStream({ startFrom: END });
  await client.createPersistentSubscriptionToStream(name, "end", end);
  const live = client.subscribeToPersistentSubscriptionToStream(name, "end");
  const following = new Following(live);
  await client.appendToStream(name, event());
  assert.deepEqual(revisions(await following.take(1)), [5]);
  await following.stop();
});

scenario("what was acknowledged is not given again", async (client, name) => {
  await client.appendToStream(name, events(10));
  const settings = { checkPointLowerBound: 1, checkPointUpperBound: 1, checkPointAfter: 100 };
  await create(client, name, settings);
  const first = follow(client, name);
  await first.subscription.ack(...(await first.take(6)));
  await infoUntil(client, name, ({ stats }) => stats.lastCheckpointedEventRevision === 5n);
  await first.stop();
  const second = follow(client, name);
  const again = await second.take(4);
  assert.deepEqual(revisions(again).sort(), [6, 7, 8, 9]);
  await second.stop();
});

scenario("an event to retry is given again until it is parked", async (client, name) => {
  await client.appendToStream(name, event());
  await create(client, name, { maxRetryCount: 2 });
  const following = follow(client, name);
  for (const retries of [0, 1, 2]) {
    const [one] = await following.take(1);
    assert.equal(one.retryCount, retries);
    await following.subscription.nack(RETRY, "again", one);
  }
  await infoUntil(client, name, ({ stats }) => stats.parkedMessageCount === 1n);
  await following.stop();
});

scenario("an event to skip is not given again", async (client, name) => {
  await client.appendToStream(name, events(3));
  await create(client, name);
  const following = follow(client, name);
  const [skipped, ...rest] = await following.take(3);
  await following.subscription.nack(SKIP, "no", skipped);
  await following.subscription.ack(...rest);
  await client.appendToStream(name, event());
  assert.deepEqual(revisions(await following.take(1)), [3]);
  assert.equal((await info(client, name)).stats.parkedMessageCount, 0n);
  await following.stop();
});

scenario("parked events are replayed", async (client, name) => {
  await client.appendToStream(name, events(5));
  await create(client, name);
  const following = follow(client, name);
  for (const one of await following.take(5)) {
    if (one.event.revision % 2n) await following.subscription.nack(PARK, "later", one);
    else await following.subscription.ack(one);
  }
  await infoUntil(client, name, ({ stats }) => stats.parkedMessageCount === 2n);
  const parked = `$persistentsubscription-${name}::${GROUP}-parked`;
  const read = await all(client.readStream(parked, { resolveLinkTos: true }));
  assert.deepEqual(places(read), [`1@${name}`, `3@${name}`]);
  await client.replayParkedMessagesToStream(name, GROUP, { stopAt: 1 });
  const [first] = await following.take(1);
  assert.deepEqual(places([first]), [`1@${name}`]);
  await following.subscription.ack(first);
  await client.replayParkedMessagesToStream(name, GROUP);
  const [second] = await following.take(1);
  assert.deepEqual(places([second]), [`3@${name}`]);
  await following.subscription.ack(second);
  await infoUntil(client, name, ({ stats }) => stats.parkedMessageCount === 0n);
  await following.stop();
});

scenario("links lead to their events when asked", async (client, name) => {
  await client.appendToStream(name, events(3));
  const link = binaryEvent({ type: "$>", data: Buffer.from(`1@${name}`) });
  await client.appendToStream(`${name}-links`, link);
  await create(client, `${name}-links`, { resolveLinkTos: true });
  const following = follow(client, `${name}-links`);
  const [resolved] = await following.take(1);
  assert.deepEqual([places([resolved])[0], resolved.link.id], [`1@${name}`, link.id]);
  await following.subscription.ack(resolved);
  await following.stop();
});

scenario("consumers share the events", async (client, name) => {
  await client.appendToStream(name, events(40));
  await create(client, name, { consumerStrategyName: ROUND_ROBIN });
  const both = upTo(2).map(() => follow(client, name, { bufferSize: 5 }));
  const shared = [];
  const work = async (following) => {
    for (;;) {
      const [one] = await following.take(1);
      shared.push(Number(one.event.revision));
      await following.subscription.ack(one);
      if (shared.length === 40) return;
    }
  };
  await Promise.race(both.map(work));
  assert.deepEqual(shared.sort((a, b) => a - b), upTo(40));
  for (const following of both) await following.stop();
});

scenario("the whole log can have a group with a filter", async (client, name) => {
  await client.appendToStream(`${name}-a`, events(8, `${name}Noise`));
  await client.appendToStream(`${name}-b`, events(8, `${name}Tone`));
  const filter = eventTypeFilter({ prefixes: [`${name}Tone`] });
  const settings = toAll({ startFrom: START });
  await client.createPersistentSubscriptionToAll(name, settings, { filter });
  const following = new Following(client.subscribeToPersistentSubscriptionToAll(name));
  const taken = await following.take(8);
  assert.deepEqual(places(taken), upTo(8).map((revision) => `${revision}@${name}-b`));
  await following.subscription.ack(...taken);
  await client.appendToStream(`${name}-a`, event(0, `${name}Tone`));
  assert.deepEqual(places(await following.take(1)), [`8@${name}-a`]);
  const told = await client.getPersistentSubscriptionToAllInfo(name);
  assert.deepEqual([told.eventSource, told.groupName], ["$all", name]);
  assert.equal(told.settings.startFrom, START);
  const groups = await client.listPersistentSubscriptionsToAll();
  assert.ok(groups.some((one) => one.groupName === name));
  await client.updatePersistentSubscriptionToAll(name, toAll({ maxRetryCount: 4 }));
  assert.ok((await following.failure()) instanceof PersistentSubscriptionDroppedError);
  assert.equal((await client.getPersistentSubscriptionToAllInfo(name)).settings.maxRetryCount, 4);
  await client.deletePersistentSubscriptionToAll(name);
  const gone = client.getPersistentSubscriptionToAllInfo(name);
  await assert.rejects(gone, PersistentSubscriptionDoesNotExistError);
});

scenario("the settings of a group are told and changed", async (client, name) => {
  await client.appendToStream(name, events(3));
  const settings = toStream({ startFrom: 1n, messageTimeout: 7000, maxRetryCount: 3 });
  await client.createPersistentSubscriptionToStream(name, GROUP, settings);
  assert.deepEqual((await info(client, name)).settings, settings);
  const changed = toStream({ startFrom: START, maxRetryCount: 9, maxSubscriberCount: 3 });
  await client.updatePersistentSubscriptionToStream(name, GROUP, changed);
  const following = follow(client, name);
  assert.deepEqual(revisions(await following.take(3)), [0, 1, 2]);
  const told = await info(client, name);
  assert.deepEqual(told.settings, changed);
  assert.deepEqual([told.eventSource, told.groupName], [name, GROUP]);
  assert.equal(told.connections.length, 1);
  assert.equal(told.connections[0].inFlightMessages, 3);
  assert.equal(told.connections[0].connectionName, client.connectionName);
  await following.stop();
});

scenario("groups are listed", async (client, name) => {
  await create(client, name);
  await client.createPersistentSubscriptionToStream(name, "more", toStream());
  await create(client, `${name}-other`);
  const listed = await client.listPersistentSubscriptionsToStream(name);
  assert.deepEqual(listed.map((one) => one.groupName).sort(), ["more", GROUP]);
  const everywhere = await client.listAllPersistentSubscriptions();
  const mine = everywhere.filter((one) => one.eventSource.startsWith(name));
  assert.equal(mine.length, 3);
  const none = client.listPersistentSubscriptionsToStream(`${name}-none`);
  await assert.rejects(none, PersistentSubscriptionDoesNotExistError);
});

scenario("a deletion ends the group for its consumers", async (client, name) => {
  await client.appendToStream(name, event());
  await create(client, name);
  const following = follow(client, name);
  await following.take(1);
  await client.deletePersistentSubscriptionToStream(name, GROUP);
  const error = await following.failure();
  assert.ok(
    error instanceof PersistentSubscriptionDoesNotExistError ||
      error instanceof PersistentSubscriptionDroppedError,
    error,
  );
});

scenario("wrong calls get their errors", async (client, name) => {
  for (const call of [
    () => follow(client, name).take(1),
    () => info(client, name),
    () => client.updatePersistentSubscriptionToStream(name, GROUP, toStream()),
    () => client.deletePersistentSubscriptionToStream(name, GROUP),
    () => client.replayParkedMessagesToStream(name, GROUP),
  ]) {
    await assert.rejects(call(), (error) => {
      assert.ok(error instanceof PersistentSubscriptionDoesNotExistError, `${call}: ${error}`);
      assert.deepEqual([error.streamName, error.groupName], [name, GROUP]);
      return true;
    });
  }
  await create(client, name, { maxSubscriberCount: 1 });
  await assert.rejects(create(client, name), PersistentSubscriptionExistsError);
  const only = follow(client, name);
  await infoUntil(client, name, ({ connections }) => connections.length === 1);
  const full = follow(client, name).take(1);
  await assert.rejects(full, PersistentSubscriptionMaximumSubscribersReachedError);
  await only.stop();
  const wrong = create(client, `${name}-wrong`, { readBatchSize: 500, historyBufferSize: 500 });
  await assert.rejects(wrong, PersistentSubscriptionFailedError);
});

scenario("the subsystem can be started anew", async (client, name) => {
  await client.appendToStream(name, event());
  await create(client, name);
  await client.restartPersistentSubscriptionSubsystem();
  const following = follow(client, name);
  assert.deepEqual(revisions(await following.take(1)), [0]);
  await following.stop();
});

scenario("a group and its progress outlive the server", async (_, name) => {
  await withProgram(async (program) => {
    const before = connect(program.address);
    await before.appendToStream(name, events(10));
    await create(before, name, { checkPointLowerBound: 1, checkPointAfter: 100 });
    const first = follow(before, name);
    const [parked, ...taken] = await first.take(6);
    await first.subscription.nack(PARK, "later", parked);
    await first.subscription.ack(...taken);
    await infoUntil(before, name, ({ stats }) => stats.lastCheckpointedEventRevision === 5n);
    await program.kill();
    await first.failure();
    await before.dispose();
    await program.start();
    const after = connect(program.address);
    assert.equal((await info(after, name)).stats.parkedMessageCount, 1n);
    const second = follow(after, name);
    const rest = await second.take(4);
    assert.deepEqual(revisions(rest), [6, 7, 8, 9]);
    await second.subscription.ack(...rest);
    await after.replayParkedMessagesToStream(name, GROUP);
    const [replayed] = await second.take(1);
    assert.equal(replayed.event.id, parked.event.id);
    await second.stop();
    await after.dispose();
  });
});
