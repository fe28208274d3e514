// The gateway: one WebSocket that gives commands and hears what happens. It comes back by itself, at
// whichever node answers, and misses nothing: each time it says what it has seen last.

/** How long a socket may take to open, and an answer to come, before another one is tried. */
const PATIENCE_MS = 5000;

/** Frames that wait for a socket, at the most. */
const WAITING = 512;

/** What the API said no to; `slug` is the end of the problem's type. */
export class Refused extends Error {
  constructor(problem) {
    super(problem.title ?? 'refused');
    this.problem = problem;
    this.slug = (problem.type ?? '').split('/').pop();
  }
}

/**
 * A log-in's connection with the API.
 *
 * Events: `event` and `signal` (the frame is their `detail`), `ready` after every connect, and `away`
 * when the connection is lost.
 */
export class Gateway extends EventTarget {
  #url;
  #token;
  #refresh;
  #renewing = null;
  #stale = false;
  #socket = null;
  #ready = false;
  #seen = null;
  #commands = new Map();
  #waiting = [];
  #attempts = 0;
  #heard = 0;
  #beat = null;
  #closed = false;

  /**
   * `url` is of the API, `session` what a log-in answers: `access_token`, `user_id`, `login_id`, and
   * `refresh_token`, with which the access token is renewed when it has expired.
   */
  constructor(url, session) {
    super();
    this.#url = url.replace(/\/$/, '');
    this.#token = session.access_token;
    this.#refresh = session.refresh_token;
    this.me = { user: session.user_id, device: session.login_id };
    addEventListener('online', () => this.probe());
    this.#connect();
  }

  get isReady() {
    return this.#ready;
  }

  /** Gives a command, as often as it takes: its id is its idempotency key, so it happens once. */
  command(type, fields = {}) {
    const id = crypto.randomUUID();
    const frame = { op: 'command', id, type, ...fields };
    return new Promise((resolve, reject) => {
      this.#commands.set(id, { frame, resolve, reject });
      if (this.#ready) this.#send(frame);
    });
  }

  /** Sends a frame that nothing answers, now or when there is a socket again. */
  tell(frame) {
    if (this.#ready) this.#send(frame);
    else if (this.#waiting.length < WAITING) this.#waiting.push(frame);
  }

  /** Asks over HTTP what the gateway has no frame for. */
  async fetch(method, path) {
    const key = method === 'GET' ? {} : { 'Idempotency-Key': crypto.randomUUID() };
    const ask = () => {
      const headers = { Authorization: `Bearer ${this.#token}`, ...key };
      return this.#ask(path, { method, headers });
    };
    let answer = await ask();
    if (answer.status === 401 && (await this.#renew())) answer = await ask();
    const body = await answer.json();
    if (!answer.ok) throw new Refused(body);
    return body;
  }

  #ask(path, how) {
    return fetch(this.#url + path, { ...how, signal: AbortSignal.timeout(PATIENCE_MS) });
  }

  /** Gets another access token, once for all who notice that it has expired; says whether it did. */
  #renew() {
    this.#renewing ??= this.#renewed().finally(() => { this.#renewing = null; });
    return this.#renewing;
  }

  async #renewed() {
    if (!this.#refresh) return false;
    // The token is good once: with the same key, an answer that was lost comes again.
    const headers = { 'Content-Type': 'application/json', 'Idempotency-Key': await named(this.#refresh) };
    const body = JSON.stringify({ refresh_token: this.#refresh });
    const answer = await this.#ask('/v1/sessions/refresh', { method: 'POST', headers, body });
    if (!answer.ok) {
      // Whoever is too busy is asked again with the next attempt; what was refused is of no use.
      if (answer.status < 500 && answer.status !== 429) this.#refresh = null;
      return false;
    }
    const session = await answer.json();
    [this.#token, this.#refresh, this.#stale] = [session.access_token, session.refresh_token, false];
    return true;
  }

  /** Finds out whether the connection is still there: a network may go without a word. */
  probe() {
    if (!this.#ready) return;
    const [socket, asked] = [this.#socket, performance.now()];
    this.#send({ op: 'ping' });
    setTimeout(() => {
      if (socket === this.#socket && this.#heard < asked) this.#lost();
    }, PATIENCE_MS);
  }

  close() {
    this.#closed = true;
    clearInterval(this.#beat);
    this.#socket?.close(1000);
  }

  async #connect() {
    if (this.#closed) return;
    // A server that is away is found to be so by the socket.
    if (this.#stale) await this.#renew().catch(() => false);
    if (this.#closed) return;
    const socket = new WebSocket(`${this.#url.replace(/^http/, 'ws')}/v1/gateway`, 'roundtable.v1');
    this.#socket = socket;
    const auth = { op: 'auth', token: this.#token };
    if (this.#seen) auth.after = this.#seen;
    socket.onopen = () => socket.send(JSON.stringify(auth));
    socket.onmessage = ({ data }) => socket === this.#socket && this.#hear(JSON.parse(data));
    socket.onclose = () => socket === this.#socket && this.#lost();
    setTimeout(() => socket === this.#socket && !this.#ready && this.#lost(), PATIENCE_MS);
  }

  /** A socket that is not answered is left alone: closing it would wait for the other side. */
  #lost() {
    this.#socket.close();
    this.#socket = null;
    const was = this.#ready;
    this.#ready = false;
    clearInterval(this.#beat);
    if (was) this.dispatchEvent(new Event('away'));
    // At random, so that not everybody comes back to a new node at the same moment.
    const pause = Math.min(250 * 2 ** this.#attempts++, 5000) * (0.5 + Math.random() / 2);
    setTimeout(() => this.#connect(), pause);
  }

  #send(frame) {
    this.#socket.send(JSON.stringify(frame));
  }

  #hear(frame) {
    this.#heard = performance.now();
    if (frame.position && (frame.op === 'event' || frame.op === 'ready')) this.#seen = frame.position;
    switch (frame.op) {
      case 'hello':
        this.#beat = setInterval(() => this.probe(), frame.heartbeat_ms * 0.8);
        break;
      case 'ready':
        this.#begin(frame);
        break;
      case 'event':
      case 'signal':
        this.dispatchEvent(new CustomEvent(frame.op, { detail: frame }));
        break;
      case 'result':
        this.#answer(frame.id, command => command.resolve(frame));
        break;
      case 'error':
        this.#answer(frame.id, command => this.#refused(command, frame));
        break;
      case 'bye':
        // What was missed is older than the feed keeps: from now on, then.
        if (frame.code === 'reload') this.#seen = null;
        this.#stale = frame.code === 'unauthenticated' && Boolean(this.#refresh);
        if (this.#stale) break;
        if (!frame.resume && frame.code !== 'reload') this.#closed = true;
        break;
    }
  }

  #begin(frame) {
    this.#ready = true;
    this.#attempts = 0;
    for (const { frame } of this.#commands.values()) this.#send(frame);
    for (const frame of this.#waiting.splice(0)) this.#send(frame);
    this.dispatchEvent(new CustomEvent('ready', { detail: frame }));
  }

  #answer(id, how) {
    const command = this.#commands.get(id);
    if (!command) return;
    this.#commands.delete(id);
    how(command);
  }

  /** What could not be done at this moment is tried again, with the same key. */
  #refused(command, problem) {
    if (problem.status !== 503) return command.reject(new Refused(problem));
    this.#commands.set(problem.id, command);
    setTimeout(() => this.#ready && this.#send(command.frame), (problem.retry_after ?? 1) * 1000);
  }
}

/** A key that follows from a text (RFC 9562, version 8). */
async function named(text) {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  const bytes = new Uint8Array(digest).slice(0, 16);
  bytes[6] = (bytes[6] & 0x0f) | 0x80;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map(byte => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}
