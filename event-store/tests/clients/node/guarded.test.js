// Sessions and groups keep to the lists too. The store speaks TLS and asks who calls.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

import { Following, PATIENT, address, all, event, events, kurrent } from "./store.js";
import { revisions, scenario as begin } from "./store.js";

const require = createRequire(`${process.env.STORE_CLIENT}/node_modules/@kurrent/`);
const protocol = "./kurrentdb-client/generated/kurrentdb/protocols/v1/usermanagement";
const { UsersClient } = require(`${protocol}_grpc_pb`);
const { CreateReq } = require(`${protocol}_pb`);

const { ANY, AccessDeniedError, KurrentDBClient, START, StreamNotFoundError } = kurrent;
const settings = kurrent.persistentSubscriptionToStreamSettingsFromDefaults({ startFrom: START });
const OURS = { acl: { readRoles: ["$admins"], writeRoles: ["$admins"] } };

function enter(user = "admin", password = process.env[`STORE_${user.toUpperCase()}_PASSWORD`]) {
  const options = `${PATIENT}&tlsCAFile=${process.env.STORE_CA}`;
  return KurrentDBClient.connectionString(`kurrentdb://${user}:${password}@${address}?${options}`);
}

/** One test with a client that is an admin and one of a user in no group. */
function scenario(title, steps) {
  const prepared = async (admin, name) => {
    const login = `user${name.slice(0, 12)}`;
    const options = new CreateReq.Options().setLoginName(login).setPassword("a-password");
    const request = new CreateReq().setOptions(options);
    await admin.execute(
      UsersClient,
      "create",
      (users) =>
        new Promise((resolve, reject) => {
          const answer = (error) => (error ? reject(error) : resolve());
          users.create(request, ...admin.callArguments({}), answer);
        }),
    );
    const person = enter(login, "a-password");
    await steps(admin, person, name);
    await person.dispose();
  };
  begin(title, prepared, () => enter());
}

const to = (streamName) => ({ streamName, expectedState: ANY, events: events(1) });
const record = (streamName) => ({ streamName, record: event() });

scenario("denied streams refuse a whole session", async (admin, person, name) => {
  const [open, ours] = [`${name}-open`, `${name}-ours`];
  await admin.setStreamMetadata(ours, OURS);
  for (const denied of [`$${name}`, ours]) {
    const session = person.multiStreamAppend([to(open), to(denied)]);
    await assert.rejects(session, AccessDeniedError);
    const records = person.appendRecords([record(open), record(denied)]);
    await assert.rejects(records, AccessDeniedError);
    await assert.rejects(all(admin.readStream(denied)), StreamNotFoundError);
  }
  await assert.rejects(all(admin.readStream(open)), StreamNotFoundError);
  await person.multiStreamAppend([to(open)]);
});

scenario("groups are managed by those who run the store", async (admin, person, name) => {
  await admin.appendToStream(name, event());
  const create = (client) => client.createPersistentSubscriptionToStream(name, "workers", settings);
  await assert.rejects(create(person), AccessDeniedError);
  const ops = enter("ops");
  await create(ops);
  await ops.dispose();
  for (const call of [
    () => person.updatePersistentSubscriptionToStream(name, "workers", settings),
    () => person.deletePersistentSubscriptionToStream(name, "workers"),
    () => person.replayParkedMessagesToStream(name, "workers"),
  ]) {
    await assert.rejects(call(), AccessDeniedError, `${call}`);
  }
  await admin.deletePersistentSubscriptionToStream(name, "workers");
});

scenario("a group gives nobody what may not be read", async (admin, person, name) => {
  await admin.appendToStream(name, event());
  await admin.createPersistentSubscriptionToStream(name, "workers", settings);
  const follow = () =>
    new Following(person.subscribeToPersistentSubscriptionToStream(name, "workers"));
  const following = follow();
  assert.deepEqual(revisions(await following.take(1)), [0]);
  await following.stop();
  await admin.setStreamMetadata(name, OURS);
  await assert.rejects(follow().take(1), AccessDeniedError);
});
