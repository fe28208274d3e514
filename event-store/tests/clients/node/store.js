// What every scenario starts with: the official client, and names that no other scenario uses.

import { createRequire } from "node:module";
import { test } from "node:test";

// The client lies where `make deps-test` installed it, not beside these files.
const require = createRequire(`${process.env.STORE_CLIENT}/`);
export const kurrent = require("@kurrent/kurrentdb-client");

const { KurrentDBClient, jsonEvent } = kurrent;

export const address = process.env.STORE_ADDRESS;

// The client's own default of ten seconds for a call is less than a busy machine may stand still.
export const PATIENT = "discoveryInterval=1&defaultDeadline=120000";

export function connect(to = address, options = "") {
  return KurrentDBClient.connectionString(`kurrentdb://${to}?tls=false&${PATIENT}${options}`);
}

/** One test with a client of its own; what opens takes the client, what is open it closes. */
export function scenario(title, steps, open = connect) {
  test(title, { timeout: 90_000 }, async () => {
    const client = open();
    try {
      await steps(client, title.replaceAll(/[^a-z0-9]/g, ""));
    } finally {
      await client.dispose();
    }
  });
}

export function event(number = 0, type = "tested", more = {}) {
  return jsonEvent({ type, data: { number }, ...more });
}

export function events(count, type) {
  return Array.from({ length: count }, (_, number) => event(number, type));
}

export async function all(read) {
  const found = [];
  for await (const one of read) found.push(one);
  return found;
}

export const recorded = (one) => one.link ?? one.event;
export const revisions = (read) => read.map((one) => Number(recorded(one).revision));
export const ids = (read) => read.map((one) => recorded(one).id);
export const places = (read) => read.map((one) => `${one.event.revision}@${one.event.streamId}`);
export const upTo = (end, begin = 0) => Array.from({ length: end - begin }, (_, n) => begin + n);

/** Takes in what a subscription says, so that none of it is missed before it is asked for. */
export class Following {
  #taken = 0;
  #waiting = [];

  constructor(subscription) {
    this.subscription = subscription;
    this.events = [];
    this.caughtUp = [];
    this.error = undefined;
    const told = (list) => (one) => {
      list.push(one);
      this.#wake();
    };
    subscription.on("data", told(this.events));
    subscription.on("caughtUp", told(this.caughtUp));
    subscription.on("error", (error) => {
      this.error ??= error;
      this.#wake();
    });
  }

  #wake() {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** Waits until this is true of what was said; fails when the subscription ended before. */
  async until(isTrue) {
    while (!isTrue(this)) {
      if (this.error) throw this.error;
      await new Promise((wake) => this.#waiting.push(wake));
    }
  }

  /** The next so many events. */
  async take(count) {
    await this.until(() => this.events.length >= this.#taken + count);
    this.#taken += count;
    return this.events.slice(this.#taken - count, this.#taken);
  }

  /** The error that ends the subscription. */
  async failure() {
    await this.until(() => this.error);
    return this.error;
  }

  stop() {
    return this.subscription.unsubscribe();
  }
}
