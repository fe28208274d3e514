// The way of a call over the SFU: a connection to send, one to receive, and a socket that agrees on
// both. Whatever is lost of it is begun again: the socket goes on where it was, ICE is restarted, and
// when a node dies the next ticket is for another one.

import { Data } from './data.js';

/** How long an answer may take before the socket is given up. */
const PATIENCE_MS = 4000;

/** How long a connection may be interrupted before ICE is restarted. */
const INTERRUPTED_MS = 1500;

/** How long a restart may take before everything is begun anew. */
const RESTART_MS = 8000;

/** What ends it for good: another tab has the place, or there is no call to be in. */
const OVER = ['call-over', 'not-in-call', 'no-such-call', 'not-on-sfu'];

/**
 * This device at the SFU. Events: `media` when what comes changed, `state`, `layer`, `speaker` and
 * `stats` (with the frame), `message` (what somebody says on a data channel), `failed`.
 */
export class Sfu extends EventTarget {
  #ticket;
  #local;
  #encodings;
  #ended = false;
  #socket = null;
  #me = null;
  #answers = new Map();
  #next = 1;
  #people = new Map();
  #tracks = new Map();
  #sections = new Map();
  #sent = new Map();
  #muted = new Set();
  #queue = Promise.resolve();
  #publishing = Promise.resolve();
  #restarts = 0;
  #renews = false;
  data = new Data(message => this.#say('message', message));

  /**
   * `ticket` gets a new ticket from the API, `local` is what is sent, by source; `encodings` are the
   * layers of a camera, from the lowest to the highest.
   */
  constructor({ ticket, local, encodings }) {
    super();
    this.#ticket = ticket;
    this.#local = local;
    this.#encodings = encodings;
    this.out = this.into = this.node = null;
    this.ended = this.#run();
  }

  /** What comes: `{device, source, track, receiver, id, layers, muted}` each. */
  get media() {
    const found = [];
    for (const [mid, id] of this.#sections) {
      const track = this.#tracks.get(id);
      const who = track && this.#people.get(track.participant);
      const transceiver = this.into?.getTransceivers().find(one => one.mid === mid);
      if (!who || !transceiver || !/recv/.test(transceiver.currentDirection)) continue;
      const { receiver } = transceiver;
      const { source, layers, muted } = track;
      found.push({ ...who, source, layers, muted, id, receiver, track: receiver.track });
    }
    return found;
  }

  get isConnected() {
    return [this.out, this.into].every(pc => ['new', 'connected'].includes(pc?.connectionState));
  }

  /** Sends what there is to be sent, and nothing else. */
  update() {
    this.#publishing = this.#publishing.then(() => this.#publish(false)).catch(e => this.#fail(e));
    return this.#publishing;
  }

  /** Opens a data channel towards everybody; `data.send` says something on it. */
  open(label, options) {
    this.data.open(label, options, this.out);
    return this.update();
  }

  /** Stops and continues a source of one's own at the server. */
  mute(source, muted) {
    if (muted) this.#muted.add(source);
    else this.#muted.delete(source);
    const own = [...this.#tracks.values()].find(t => t.participant === this.#me && t.source === source);
    if (own) this.#tell({ type: 'mute', track: own.track, muted });
  }

  /** The best layer that is wanted of a track, and whether it is seen. */
  prefer(track, wish) {
    this.#tell({ type: 'prefer', track, ...wish });
  }

  /** What this device may do here changed: it shows another ticket, and goes on where it was. */
  renew() {
    this.#renews = true;
    this.#drop();
  }

  /** The network changed: both connections look for a new way. */
  async restart() {
    const { out, into } = this;
    const socket = this.#socket;
    if (!socket || this.#ended) return;
    const attempt = ++this.#restarts;
    const asked = this.#ask({ type: 'restart' });
    this.#publishing = this.#publishing.then(() => this.#publish(true)).catch(e => this.#fail(e));
    const answer = await asked;
    if (socket !== this.#socket) return;
    // Only a socket that is gone does not answer; what the server forgot cannot be restarted.
    if (!answer) return this.#drop();
    if (answer.type === 'error') return this.#anew();
    setTimeout(() => {
      const same = out === this.out && into === this.into && attempt === this.#restarts;
      if (same && !this.isConnected && !this.#ended) this.#anew();
    }, RESTART_MS);
  }

  leave() {
    this.#tell({ type: 'leave' });
    this.#end();
  }

  #end() {
    this.#ended = true;
    this.#drop();
    this.out?.close();
    this.into?.close();
  }

  async #run() {
    for (let attempt = 0; !this.#ended; attempt++) {
      try {
        const { ticket, url, node } = await this.#ticket();
        const resume = node === this.node && this.out !== null;
        this.node = node;
        if (await this.#session(url, ticket, resume)) attempt = 0;
      } catch (error) {
        if (OVER.includes(error.slug)) return this.#end();
        this.#state(`no ticket: ${error.slug ?? error.message}`);
      }
      if (!this.#ended) await sleep(Math.min(200 * 2 ** attempt, 2000) * (0.5 + Math.random() / 2));
    }
  }

  /** One socket, from its ticket to its end. Says whether it was let in. */
  #session(url, ticket, resume) {
    return new Promise(resolve => {
      const socket = new WebSocket(`${url.replace(/^http/, 'ws')}/v1/sfu`, 'roundtable.sfu.v1');
      const session = { socket, joined: false, end: () => resolve(session.joined) };
      this.#socket = session;
      socket.onopen = () => this.#tell({ type: 'join', ticket, resume });
      socket.onmessage = ({ data }) => session === this.#socket && this.#hear(JSON.parse(data));
      socket.onclose = () => session === this.#socket && this.#drop();
      setTimeout(() => session === this.#socket && !session.joined && this.#drop(), PATIENCE_MS);
    });
  }

  /** The socket is gone, or taken for gone: closing it properly would wait for the other side. */
  #drop() {
    const session = this.#socket;
    if (!session) return;
    this.#socket = null;
    session.socket.close();
    for (const answer of this.#answers.values()) answer(null);
    this.#answers.clear();
    this.#state('away');
    session.end();
  }

  /** Joins again without anything of before. */
  #anew() {
    this.#state('anew');
    this.node = null;
    this.#drop();
  }

  #tell(frame) {
    const socket = this.#socket?.socket;
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame));
  }

  /** A frame that is answered; `null` if it is not. */
  #ask(frame) {
    const id = this.#next++;
    this.#tell({ ...frame, id });
    return new Promise(resolve => {
      this.#answers.set(id, resolve);
      setTimeout(() => this.#answers.delete(id) && resolve(null), PATIENCE_MS);
    });
  }

  #hear(frame) {
    const answer = frame.id != null && this.#answers.get(frame.id);
    if (answer && this.#answers.delete(frame.id)) return answer(frame);
    this.#queue = this.#queue.then(() => this.#acts[frame.type]?.(frame)).catch(e => this.#fail(e));
  }

  #acts = {
    joined: frame => this.#joined(frame),
    offer: frame => this.#offered(frame),
    participant_joined: person => { this.#people.set(person.participant, who(person)); },
    participant_left: ({ participant }) => { this.#people.delete(participant); },
    track_began: track => this.#began(track),
    track_ended: ({ track }) => {
      this.#tracks.delete(track);
      this.#changed();
    },
    track_muted: ({ track, muted }) => {
      const known = this.#tracks.get(track);
      if (known) known.muted = muted;
      this.#changed();
    },
    speaker: ({ participant }) => this.#say('speaker', this.#people.get(participant) ?? null),
    channel_began: frame => this.data.began(frame, this.#people.get(frame.participant)),
    channel_ended: frame => this.data.ended(frame),
    layer: frame => this.#say('layer', frame),
    stats: frame => this.#say('stats', frame),
    connection: frame => this.#state(`${frame.role} ${frame.state}`),
    refused: ({ problem }) => this.#state(`refused: ${problem}`),
    // An answer that crossed the offer which follows is of no use to anybody.
    error: ({ problem }) => problem !== 'offer-not-open' && this.#fail(new Error(problem)),
    bye: frame => this.#bye(frame),
  };

  /** What ends here may go on elsewhere, unless this device is connected by another socket now. */
  #bye({ reason }) {
    if (reason === 'joined_again') this.#end();
    else if (reason === 'node_ends') this.node = null;
    this.#drop();
  }

  async #joined(frame) {
    if (this.#socket) this.#socket.joined = true;
    this.#me = frame.participant;
    this.#people = new Map(frame.participants.map(person => [person.participant, who(person)]));
    this.#tracks = new Map(frame.tracks.map(track => [track.track, track]));
    this.#state(frame.resumed ? 'resumed' : 'joined');
    const renews = this.#renews;
    this.#renews = false;
    if (frame.resumed) {
      // Frames about channels may have been lost with the socket of before: they are told again.
      this.#tell({ type: 'subscribe', data: true });
      // What was lost is most likely the network: offers that are open come again by themselves.
      return void (renews ? this.update() : this.restart());
    }
    this.out?.close();
    this.into?.close();
    this.#sections.clear();
    this.#sent.clear();
    this.out = this.#open();
    this.into = this.#open();
    this.into.ontrack = () => this.#changed();
    this.data.connect(this.out, this.into);
    this.update();
    this.#tell({ type: 'subscribe', data: true });
  }

  #open() {
    const pc = new RTCPeerConnection();
    pc.onconnectionstatechange = () => {
      const state = pc.connectionState;
      this.#changed();
      if (state === 'failed') this.restart();
      if (state === 'disconnected') {
        setTimeout(() => pc.connectionState === 'disconnected' && this.restart(), INTERRUPTED_MS);
      }
    };
    return pc;
  }

  async #publish(restarts) {
    const { out } = this;
    if (!out || out.connectionState === 'closed') return;
    for (const [source, transceiver] of this.#sent) {
      if (this.#local[source] && this.#local[source] === transceiver.sender.track) continue;
      transceiver.stop();
      this.#sent.delete(source);
    }
    for (const [source, track] of Object.entries(this.#local)) {
      if (!track || this.#sent.has(source)) continue;
      const sendEncodings = source === 'camera' ? this.#encodings : undefined;
      this.#sent.set(source, out.addTransceiver(track, { direction: 'sendonly', sendEncodings }));
    }
    if (restarts) out.restartIce();
    if (!this.#sent.size && !this.data.isWanted) return;
    await out.setLocalDescription();
    const sources = Object.fromEntries([...this.#sent].map(([source, { mid }]) => [mid, source]));
    const answer = await this.#ask({ type: 'publish', sdp: out.localDescription.sdp, sources });
    if (out !== this.out) return;
    if (answer?.type === 'published') {
      return out.setRemoteDescription({ type: 'answer', sdp: answer.sdp });
    }
    // Without an answer the offer is not open any more; the next socket makes another one.
    await out.setLocalDescription({ type: 'rollback' }).catch(() => {});
    if (answer) throw new Error(`publishing is refused: ${answer.problem}`);
  }

  async #offered({ serial, sdp, sections }) {
    const { into } = this;
    if (into.signalingState !== 'stable') return;
    await into.setRemoteDescription({ type: 'offer', sdp });
    await into.setLocalDescription();
    if (into !== this.into) return;
    this.#sections = new Map(sections.map(({ mid, track }) => [mid, track]));
    this.#tell({ type: 'answer', serial, sdp: into.localDescription.sdp });
    this.#changed();
  }

  #began(track) {
    this.#tracks.set(track.track, track);
    if (track.participant === this.#me && this.#muted.has(track.source)) this.mute(track.source, true);
    this.#changed();
  }

  #say(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #state(text) {
    this.#say('state', text);
  }

  #changed() {
    this.#say('media');
  }

  #fail(error) {
    if (!this.#ended) this.#say('failed', error);
  }
}

const who = ({ user, device }) => ({ user, device });

const sleep = milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds));
