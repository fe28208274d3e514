// The store's program under the control of a scenario: killed, stopped and started again.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** One data folder and one port through many lives; it dies with the scenario's process. */
export class Program {
  #arguments;
  #environment;
  #child;

  static async start(folder, extra = [], environment = {}) {
    const program = new Program();
    program.port = await freePort();
    program.address = `127.0.0.1:${program.port}`;
    program.#arguments = ["--listen", program.address, "--data", folder, ...extra];
    program.#environment = { ...process.env, ...environment };
    await program.start();
    return program;
  }

  async start() {
    const command = ["--pdeathsig", "KILL", process.env.STORE_PROGRAM, ...this.#arguments];
    this.#child = spawn("setpriv", command, {
      env: this.#environment,
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = await once(createInterface(this.#child.stdout), "line");
    if (!line.endsWith(`:${this.port}`)) throw new Error(`it did not start: ${line}`);
  }

  /** Ends it in the middle of whatever it does. */
  kill() {
    return this.#end("SIGKILL");
  }

  /** Asks it to end, and waits until it has. */
  stop() {
    return this.#end("SIGTERM");
  }

  /** Lets it answer nothing more, and take in nothing, until it is thawed. */
  freeze() {
    this.#child.kill("SIGSTOP");
  }

  /** Lets it go on where it was. */
  thaw() {
    this.#child.kill("SIGCONT");
  }

  async #end(signal) {
    const ended = once(this.#child, "exit");
    this.#child.kill(signal);
    await ended;
  }
}

/** Runs the steps with a program of their own, in a folder that goes afterwards. */
export async function withProgram(steps, extra, environment) {
  const folder = mkdtempSync(join(tmpdir(), "store-"));
  const program = await Program.start(folder, extra, environment);
  try {
    await steps(program);
  } finally {
    await program.kill();
    rmSync(folder, { recursive: true });
  }
}

/**
 * A free port that the system gives to nobody who connects: with one that it does give, a client
 * that tries and tries while nobody listens would in the end be connected to itself.
 */
async function freePort() {
  const given = readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "ascii");
  const least = Number.parseInt(given, 10);
  for (;;) {
    const port = Math.floor(least / 2 + (Math.random() * least) / 2);
    const server = createServer();
    const isFree = await new Promise((answer) => {
      server.once("error", () => answer(false));
      server.listen(port, "127.0.0.1", () => server.close(() => answer(true)));
    });
    if (isFree) return port;
  }
}
