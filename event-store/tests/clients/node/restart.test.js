// The store is killed and comes back on the same port and folder: nothing is lost or doubled.

import assert from "node:assert/strict";
import { test } from "node:test";

import { withProgram } from "./program.js";
import { Following, all, connect, event, events, ids, kurrent, revisions } from "./store.js";
import { upTo } from "./store.js";

const { ANY, NO_STREAM, StreamDeletedError, StreamNotFoundError } = kurrent;
const { CancelledError, DeadlineExceededError, UnavailableError, eventTypeFilter } = kurrent;
const GONE = [CancelledError, DeadlineExceededError, UnavailableError];
const DEADLINE_EXCEEDED = 4;
const UNAVAILABLE = 14;
const LIVES = 4;

/** One test with a program of its own and a client of it. */
function scenario(title, steps) {
  test(title, { timeout: 90_000 }, () =>
    withProgram(async (program) => {
      const client = connect(program.address);
      await steps(program, client);
      await client.dispose();
    }),
  );
}

const isGone = (error) => {
  if (GONE.some((kind) => error instanceof kind)) return;
  // The question for the server's features, which comes before a call, keeps its plain error.
  if (![DEADLINE_EXCEEDED, UNAVAILABLE].includes(error.code)) throw error;
};

/** Tries until the store is there; what was done and not answered is done again. */
async function persist(attempt) {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      isGone(error);
    }
  }
}

/** Appends numbered events one by one, each until it is acknowledged, until it is enough. */
class Writer {
  written = [];
  isEnough = false;

  constructor(program, stream, isExact, options) {
    Object.assign(this, { stream, isExact, options });
    this.client = connect(program.address);
    this.ended = this.#run();
  }

  async #run() {
    let expected = NO_STREAM;
    while (!this.isEnough) {
      const proposed = event(this.written.length);
      const how = { streamState: this.isExact ? expected : ANY, ...this.options };
      const { nextExpectedRevision } = await persist(() =>
        this.client.appendToStream(this.stream, proposed, how),
      );
      expected = nextExpectedRevision;
      this.written.push(proposed.id);
    }
  }
}

/** Follows from the start, and after each failure from the last event it has seen. */
class Follower {
  seen = [];
  failures = 0;
  #wake = [];

  constructor(program, subscribe) {
    this.client = connect(program.address);
    this.ended = this.#run(subscribe);
  }

  async #run(subscribe) {
    while (this.seen.at(-1)?.event.type !== "last") {
      const following = new Following(subscribe(this.client, this.seen.at(-1)));
      try {
        while (this.seen.at(-1)?.event.type !== "last") {
          this.seen.push(...(await following.take(1)));
          for (const wake of this.#wake.splice(0)) wake();
        }
        await following.stop();
      } catch (error) {
        isGone(error);
        this.failures += 1;
      }
    }
  }

  async sees(more) {
    const enough = this.seen.length + more;
    while (this.seen.length < enough) await new Promise((wake) => this.#wake.push(wake));
  }
}

const filter = eventTypeFilter({ regex: "^[^$]" });
const followLog = (client, last) =>
  client.subscribeToAll({ filter, ...(last && { fromPosition: last.event.position }) });
const followStream = (client, last) =>
  client.subscribeToStream("exact", last && { fromRevision: last.event.revision });

for (const ending of ["kill", "stop"]) {
  scenario(`subscriptions and appends outlive the server (${ending})`, async (program, client) => {
    const single = { credentials: { username: "nobody", password: "secret" } };
    const writers = [
      new Writer(program, "exact", true, {}),
      new Writer(program, "any", false, single),
    ];
    const followers = [new Follower(program, followLog), new Follower(program, followStream)];
    for (const _ of upTo(LIVES)) {
      for (const follower of followers) await follower.sees(30);
      await program[ending]();
      await program.start();
    }
    for (const writer of writers) {
      writer.isEnough = true;
      await writer.ended;
    }
    const last = event(0, "last");
    await client.appendToStream("exact", last);
    writers[0].written.push(last.id);
    for (const follower of followers) {
      await follower.ended;
      assert.ok(follower.failures >= LIVES);
    }
    const [log, stream] = followers;
    for (const { stream: name, written } of writers) {
      assert.deepEqual(ids(await all(client.readStream(name))), written);
      assert.deepEqual(ids(log.seen.filter((one) => one.event.streamId === name)), written);
    }
    assert.deepEqual(ids(stream.seen), writers[0].written);
    assert.deepEqual(ids(log.seen), ids(await all(client.readAll({ filter }))));
    for (const { client } of [...writers, ...followers]) await client.dispose();
  });
}

scenario("what was acknowledged is there after a kill", async (program, client) => {
  const acknowledged = [];
  for (const life of upTo(LIVES)) {
    for (const number of upTo(25)) {
      const proposed = events(3);
      const streamState = life ? BigInt(3 * life - 1) : NO_STREAM;
      await persist(() => client.appendToStream(`s-${number}`, proposed, { streamState }));
      acknowledged.push(...proposed.map(({ id }) => id));
    }
    await program.kill();
    await program.start();
  }
  const read = await persist(() => all(client.readAll()));
  assert.deepEqual(ids(read), acknowledged);
});

scenario("a repeat is recognised after a kill", async (program, client) => {
  for (const streamState of [NO_STREAM, ANY]) {
    const proposed = events(3);
    const append = () => client.appendToStream(`s-${streamState}`, proposed, { streamState });
    const first = await persist(append);
    await program.kill();
    await program.start();
    assert.deepEqual(await persist(append), first);
    const read = await persist(() => all(client.readStream(`s-${streamState}`)));
    assert.deepEqual(revisions(read), upTo(3));
  }
});

scenario("metadata and tombstones are there after a kill", async (program, client) => {
  for (const stream of ["hidden", "deleted", "ended"]) {
    await client.appendToStream(stream, events(5));
  }
  await client.setStreamMetadata("hidden", { maxCount: 2 });
  await client.deleteStream("deleted");
  await client.tombstoneStream("ended");
  await program.kill();
  await program.start();
  const read = (stream) => persist(() => all(client.readStream(stream)));
  assert.deepEqual(revisions(await read("hidden")), [3, 4]);
  await assert.rejects(read("deleted"), StreamNotFoundError);
  await assert.rejects(read("ended"), StreamDeletedError);
});
