// TLS, credentials, users, and access control lists. The store speaks TLS and asks who calls.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

import { Following, PATIENT, address, all, connect, event, events, kurrent } from "./store.js";
import { revisions, scenario as begin, upTo } from "./store.js";

// The client knows the calls about users and has no functions of its own for them.
const require = createRequire(`${process.env.STORE_CLIENT}/node_modules/@kurrent/`);
const protocol = "./kurrentdb-client/generated/kurrentdb/protocols/v1/usermanagement";
const { UsersClient } = require(`${protocol}_grpc_pb`);
const users = require(`${protocol}_pb`);
const { LoginConflictError, LoginNotFoundError, convertToCommandError } = require(
  "./kurrentdb-client/dist/utils",
);

const { ANY, AccessDeniedError, KurrentDBClient } = kurrent;
const { StreamNotFoundError, UnavailableError } = kurrent;
const PASSWORDS = { admin: process.env.STORE_ADMIN_PASSWORD, ops: process.env.STORE_OPS_PASSWORD };

function enter(username = "admin", password = PASSWORDS[username], more = {}) {
  const { authority = process.env.STORE_CA, scheme = "kurrentdb" } = more;
  const options = `${PATIENT}&tlsCAFile=${authority}`;
  const url = `${scheme}://${username}:${password}@${address}?${options}`;
  return KurrentDBClient.connectionString(url);
}

/** One test with a client that is an admin. */
function scenario(title, steps, open = () => enter()) {
  begin(title, steps, open);
}

/** Calls a function about users; the names of the settings are those of the protocol. */
function manage(client, call, settings) {
  const request = new users[`${call}Req`]();
  const options = new users[`${call}Req`].Options();
  for (const [name, value] of Object.entries(settings)) options[`set${name}`](value);
  request.setOptions(options);
  const method = call[0].toLowerCase() + call.slice(1);
  return client.execute(UsersClient, method, (stub) => {
    const how = client.callArguments({});
    if (call === "Details") return details(stub.details(request, ...how));
    return new Promise((resolve, reject) => {
      const answer = (error) => (error ? reject(convertToCommandError(error)) : resolve());
      stub[method](request, ...how, answer);
    });
  });
}

async function details(answers) {
  try {
    return (await all(answers)).map((one) => one.getUserDetails().toObject());
  } catch (error) {
    throw convertToCommandError(error);
  }
}

const append = (client, stream, proposed, options) =>
  client.appendToStream(stream, proposed, { streamState: ANY, ...options });
const read = async (client, stream, options) =>
  revisions(await all(client.readStream(stream, options)));

/** What is tried with a stream, by both calls for appends. */
const attempts = (client, stream, credentials) => [
  () => append(client, stream, event()),
  () => append(client, stream, event(), { credentials }),
  () => all(client.readStream(stream)),
  () => new Following(client.subscribeToStream(stream)).take(1),
  () => client.deleteStream(stream),
  () => client.tombstoneStream(stream),
];

scenario("everything works over TLS with credentials", async (client, name) => {
  await append(client, name, event());
  const following = new Following(client.subscribeToStream(name));
  await following.take(1);
  await append(client, name, events(300));
  assert.deepEqual(revisions(await following.take(300)), upTo(301, 1));
  assert.deepEqual(await read(client, name), upTo(301));
  assert.ok((await all(client.readAll())).length >= 301);
  await following.stop();
});

scenario(
  "the node is found by its gossip over TLS",
  async (client, name) => {
    await append(client, name, event());
    assert.deepEqual(await read(client, name), [0]);
  },
  () => enter("admin", PASSWORDS.admin, { scheme: "kurrentdb+discover" }),
);

scenario("a wrong password or user is refused", async (_, name) => {
  for (const [user, password] of [["admin", "wrong"], ["nobody", "x"], ["ops", PASSWORDS.admin]]) {
    const stranger = enter(user, password);
    for (const attempt of attempts(stranger, name, { username: user, password })) {
      await assert.rejects(attempt(), AccessDeniedError, `${attempt}`);
    }
    await stranger.dispose();
  }
});

scenario("a certificate of another authority is not trusted", async (_, name) => {
  const authority = process.env.STORE_STRANGER_CA;
  const client = enter("admin", PASSWORDS.admin, { authority });
  await assert.rejects(client.deleteStream(name), UnavailableError);
  await client.dispose();
});

scenario("plain text is not spoken", async (_, name) => {
  const client = connect();
  await assert.rejects(client.deleteStream(name), UnavailableError);
  await client.dispose();
});

scenario("a call can have credentials of its own", async (admin, name) => {
  const ops = enter("ops");
  const credentials = { username: "admin", password: PASSWORDS.admin };
  await append(admin, `$${name}`, event());
  await assert.rejects(read(ops, `$${name}`), AccessDeniedError);
  assert.deepEqual(await read(ops, `$${name}`, { credentials }), [0]);
  await append(ops, `$${name}`, event(), { credentials });
  const wrong = { username: "admin", password: "wrong" };
  await assert.rejects(read(admin, `$${name}`, { credentials: wrong }), AccessDeniedError);
  await ops.dispose();
});

scenario("streams of the system are for admins", async (_, name) => {
  const ops = enter("ops");
  const credentials = { username: "ops", password: PASSWORDS.ops };
  for (const attempt of attempts(ops, `$${name}`, credentials)) {
    await assert.rejects(attempt(), AccessDeniedError, `${attempt}`);
  }
  await ops.dispose();
});

scenario("users are created, changed and deleted", async (admin, name) => {
  const LoginName = name.slice(0, 20);
  const of = (more) => ({ LoginName, ...more });
  const settings = of({ Password: "first", FullName: "A Person", GroupsList: ["readers"] });
  await manage(admin, "Create", settings);
  await assert.rejects(manage(admin, "Create", settings), LoginConflictError);
  const [told] = await manage(admin, "Details", of());
  assert.deepEqual([told.loginName, told.fullName], [LoginName, "A Person"]);
  assert.deepEqual([told.groupsList, told.disabled], [["readers"], false]);
  assert.ok((await manage(admin, "Details", {})).length >= 3);

  const person = enter(LoginName, "first");
  await append(person, name, events(2));
  await admin.setStreamMetadata(name, { acl: { readRoles: ["readers"] } });
  assert.deepEqual(await read(person, name), [0, 1]);
  await manage(admin, "Update", of({ FullName: "Another", GroupsList: [] }));
  await assert.rejects(read(person, name), AccessDeniedError);
  await assert.rejects(manage(person, "Create", of({ Password: "x" })), AccessDeniedError);

  await manage(person, "ChangePassword", of({ CurrentPassword: "first", NewPassword: "second" }));
  await assert.rejects(append(person, name, event()), AccessDeniedError);
  const again = enter(LoginName, "second");
  await append(again, name, event());
  await manage(admin, "ResetPassword", of({ NewPassword: "third" }));
  await assert.rejects(append(again, `${name}-b`, event()), AccessDeniedError);

  const third = enter(LoginName, "third");
  await manage(admin, "Disable", of());
  await assert.rejects(append(third, name, event()), AccessDeniedError);
  await manage(admin, "Enable", of());
  await append(third, name, event());
  await manage(admin, "Delete", of());
  await assert.rejects(append(third, name, event()), AccessDeniedError);
  for (const call of ["Details", "Delete", "Enable", "Disable"]) {
    await assert.rejects(manage(admin, call, of()), LoginNotFoundError, call);
  }
  for (const client of [person, again, third]) await client.dispose();
});

scenario("a list is kept to by every call", async (admin, name) => {
  const ops = enter("ops");
  const credentials = { username: "ops", password: PASSWORDS.ops };
  await append(ops, name, events(2));
  const only = ["$admins"];
  const acl = { readRoles: only, writeRoles: only, deleteRoles: only };
  const meta = { metaReadRoles: only, metaWriteRoles: only };
  await admin.setStreamMetadata(name, { acl: { ...acl, ...meta } });
  for (const attempt of [
    ...attempts(ops, name, credentials),
    () => ops.getStreamMetadata(name),
    () => ops.setStreamMetadata(name, {}),
  ]) {
    await assert.rejects(attempt(), AccessDeniedError, `${attempt}`);
  }
  await admin.setStreamMetadata(name, { acl: { ...acl, readRoles: ["ops"] } });
  assert.deepEqual(await read(ops, name), [0, 1]);
  await assert.rejects(append(ops, name, event()), AccessDeniedError);
  await admin.setStreamMetadata(name, {});
  await append(ops, name, event());
  assert.deepEqual(await read(admin, name), [0, 1, 2]);
  await assert.rejects(all(ops.readStream(`${name}-none`)), StreamNotFoundError);
  await ops.dispose();
});
