// A call as one device has it: between the devices first, over the SFU when it grows. What is seen
// and heard goes on while the way changes: the old way is kept until the new one has brought a
// picture.

import { Peer } from './peer.js';
import { Sfu } from './sfu.js';

/** How often it is looked whether the new way brings something. */
const LOOK_MS = 50;

/** The layers of a camera, from the lowest to the highest. */
const LAYERS = [
  { rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 120_000 },
  { rid: 'f', maxBitrate: 400_000 },
];

/**
 * A call that this device is in.
 *
 * Events: `media` when what is seen and heard changed, `people` when who is there or what of them is
 * on changed, `state`, `speaker`, `ended`, and `failed` with what went wrong and is tried again.
 */
export class Call extends EventTarget {
  #gateway;
  #servers = [];
  #peers = new Map();
  #shown = new Map();
  #pending = new Set();
  #seen = null;
  #stop = new AbortController();

  /** Calls: `fields` are those of `call.start`. */
  static async start(gateway, local, fields) {
    const servers = await iceServers(gateway);
    const { call } = await gateway.command('call.start', { ...toggles(local), ...fields });
    const begun = new Call(gateway, local, call, servers);
    begun.kind = fields.media;
    if (fields.carrier === 'sfu') begun.#overSfu();
    return begun;
  }

  /** Takes a call (`call.accept`), or comes into one that goes on (`call.join`). */
  static async enter(gateway, local, call, command = 'call.join') {
    const servers = await iceServers(gateway);
    const entered = new Call(gateway, local, call, servers);
    await entered.#enter(command);
    return entered;
  }

  constructor(gateway, local, id, servers) {
    super();
    Object.assign(this, { id, local: { ...local }, sfu: null, people: new Map(), over: null, kind: null });
    this.#gateway = gateway;
    this.#servers = servers;
    this.#came({ ...gateway.me, toggles: toggles(local) });
    const { signal } = this.#stop;
    gateway.addEventListener('event', ({ detail }) => this.#hear(detail), { signal });
    gateway.addEventListener('signal', ({ detail }) => this.#signalled(detail), { signal });
    gateway.addEventListener('ready', () => this.#back(), { signal });
    this.#listen();
  }

  /** Whether the devices are connected to each other, or by the SFU. */
  get carrier() {
    return this.sfu ? 'sfu' : 'peers';
  }

  /** What is seen and heard: `{user, device, source, track, receiver, by, …}` each. */
  get media() {
    return [...this.#shown.values()];
  }

  /** Every connection, for those who look at statistics. */
  get connections() {
    const peers = [...this.#peers.values()].map(({ pc }) => pc);
    return [...peers, this.sfu?.out, this.sfu?.into].filter(Boolean);
  }

  /** Turns the microphone or the camera on or off. */
  async toggle(source, on) {
    if (this.local[source]) this.local[source].enabled = on;
    this.sfu?.mute(source, !on);
    await this.#gateway.command('call.toggle', { call: this.id, [source]: on });
  }

  /** Shares a screen, or no screen any more (`null`). */
  async share(track) {
    this.local.screen?.stop();
    this.local.screen = track;
    if (track) track.onended = () => this.share(null);
    const told = this.#gateway.command('call.toggle', { call: this.id, screen: track !== null });
    // In a call of voices the ticket permits a picture only to who shares a screen.
    if (track && this.kind === 'audio') await told;
    this.#send(this.kind === 'audio');
    await told;
  }

  /** Lets a call of voices have cameras, too; this device's is the first. */
  async addVideo(camera) {
    this.local.camera = camera;
    await this.#gateway.command('call.add_video', { call: this.id });
    if (this.kind === 'audio') this.#widen();
    else this.#send(false);
    await this.#gateway.command('call.toggle', { call: this.id, camera: true });
  }

  /** Rings at more people of the conversation. */
  async ring(people) {
    await this.#gateway.command('call.ring', { call: this.id, people });
  }

  /** From now on there are cameras. */
  #widen() {
    this.kind = 'video';
    this.#send(true);
  }

  /** Sends what there is to be sent, over the SFU with another ticket if it has to be one. */
  #send(renews) {
    for (const peer of this.#peers.values()) peer.update();
    if (renews) this.sfu?.renew();
    else this.sfu?.update();
  }

  async leave() {
    this.#end('left');
    await this.#gateway.command('call.leave', { call: this.id });
  }

  async #enter(command) {
    const { joined } = await this.#gateway.command(command, { call: this.id, ...toggles(this.local) });
    this.kind = joined.media;
    for (const { user, device, toggles } of joined.participants) this.#came({ user, device, toggles });
    if (joined.carrier === 'sfu') return this.#overSfu();
    for (const other of joined.offers_to) this.#connect(other, true);
  }

  /** Signals wait for this device until it says that it listens. */
  #listen() {
    const frame = { op: 'signals', call: this.id };
    if (this.#seen) frame.after = this.#seen;
    this.#gateway.tell(frame);
  }

  /** A new socket: what was sent over the one before may be lost. */
  #back() {
    this.#listen();
    for (const peer of this.#peers.values()) peer.restart();
  }

  #hear({ type, data }) {
    if (data.call !== this.id) return;
    const mine = data.participant?.device === this.#gateway.me.device;
    switch (type) {
      case 'call.accepted':
      case 'call.joined':
        if (mine) break;
        this.#came({ ...data.participant, toggles: data.toggles });
        if (data.offers_to?.some(one => one.device === this.#gateway.me.device)) {
          this.#connect(data.participant, false);
        }
        break;
      case 'call.left':
        if (mine) this.#lost(data.cause);
        else this.#left(data.participant);
        break;
      case 'call.toggled':
        this.#came({ ...data.participant, toggles: data.toggles });
        break;
      case 'call.video_added':
        if (this.kind === 'audio') this.#widen();
        break;
      case 'call.moved':
        this.#overSfu();
        break;
      case 'call.ended':
        this.#end(data.cause);
        break;
    }
  }

  #came(person) {
    this.people.set(person.device, person);
    this.#say('people');
  }

  #left({ device }) {
    this.people.delete(device);
    this.#disconnect(device);
    this.#say('people');
  }

  /** This device was away for too long: it comes in again, as a newcomer. */
  async #lost(cause) {
    if (cause !== 'lost' || this.over) return;
    for (const device of [...this.#peers.keys()]) this.#disconnect(device);
    this.sfu?.leave();
    this.sfu = null;
    this.people.clear();
    this.#came({ ...this.#gateway.me, toggles: toggles(this.local) });
    try {
      await this.#enter('call.join');
    } catch (error) {
      this.#end(error.slug ?? 'failed');
    }
  }

  #connect({ user, device }, offers) {
    this.#disconnect(device);
    const send = data => {
      this.#gateway.tell({ op: 'signal', call: this.id, to: { user, device }, data });
    };
    const peer = new Peer({ servers: this.#servers, send, offers, local: this.local });
    Object.assign(peer, { user, device, done: { here: false, there: false } });
    peer.addEventListener('media', () => this.#changed());
    peer.addEventListener('failed', ({ detail }) => this.#say('failed', detail));
    this.#peers.set(device, peer);
  }

  #disconnect(device) {
    this.#peers.get(device)?.close();
    this.#peers.delete(device);
    this.#changed();
  }

  #signalled({ call, from, seq, data }) {
    if (call !== this.id) return;
    this.#seen = seq;
    const peer = this.#peers.get(from.device);
    if (!peer) return;
    if (!data.over) return peer.hear(data);
    peer.done.there = true;
    this.#retire(peer);
  }

  #overSfu() {
    if (this.sfu || this.over) return;
    const ticket = () => this.#gateway.fetch('POST', `/v1/calls/${this.id}/ticket`);
    this.sfu = new Sfu({ ticket, local: this.local, encodings: LAYERS });
    for (const [source, track] of Object.entries(this.local)) {
      if (track && !track.enabled) this.sfu.mute(source, true);
    }
    this.sfu.addEventListener('media', () => this.#changed());
    for (const type of ['state', 'layer', 'speaker', 'stats', 'failed']) {
      this.sfu.addEventListener(type, ({ detail }) => this.#say(type, detail));
    }
  }

  /** A direct connection goes once both sides see each other over the SFU. */
  #retire(peer) {
    if (peer.done.here && peer.done.there) this.#disconnect(peer.device);
  }

  /** What comes, by whichever way: the SFU's once it has brought something. */
  #changed() {
    const coming = new Map();
    for (const peer of this.#peers.values()) {
      for (const media of peer.media) {
        const { user, device } = peer;
        coming.set(`${device} ${media.source}`, { user, device, ...media, by: 'peer' });
      }
    }
    for (const media of this.sfu?.media ?? []) {
      const key = `${media.device} ${media.source}`;
      const now = { ...media, by: 'sfu' };
      const before = coming.get(key);
      const shown = this.#shown.get(key)?.track === media.track;
      if (!before || shown || media.muted) coming.set(key, now);
      else this.#await(key, now);
    }
    this.#shown = coming;
    this.#say('media');
    for (const peer of this.#peers.values()) this.#moved(peer);
  }

  /** Shows the new way as soon as it has brought a picture, or sound. */
  async #await(key, media) {
    if (this.#pending.has(media.track)) return;
    this.#pending.add(media.track);
    while (!this.over && media.track.readyState === 'live' && !(await brings(media.receiver))) {
      await new Promise(resolve => setTimeout(resolve, LOOK_MS));
    }
    this.#pending.delete(media.track);
    if (this.over || media.track.readyState !== 'live') return;
    this.#shown.set(key, media);
    this.#changed();
  }

  /** Tells a peer when everything that it sends comes over the SFU. */
  #moved(peer) {
    const missing = peer.media.some(({ source }) => {
      return this.#shown.get(`${peer.device} ${source}`)?.by !== 'sfu';
    });
    if (!this.sfu || peer.done.here || !peer.media.length || missing) return;
    peer.done.here = true;
    const to = { user: peer.user, device: peer.device };
    this.#gateway.tell({ op: 'signal', call: this.id, to, data: { over: true } });
    this.#retire(peer);
  }

  #end(cause) {
    if (this.over) return;
    this.over = cause;
    this.#stop.abort();
    for (const device of [...this.#peers.keys()]) this.#disconnect(device);
    this.sfu?.leave();
    this.local.screen?.stop();
    this.#shown.clear();
    this.#say('media');
    this.#say('ended', cause);
  }

  #say(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

async function brings(receiver) {
  for (const stat of (await receiver.getStats()).values()) {
    if (stat.type !== 'inbound-rtp') continue;
    if (stat.kind === 'video' ? stat.framesDecoded > 0 : stat.totalSamplesReceived > 0) return true;
  }
  return false;
}

/** Where ways to others are found; good for a while. */
async function iceServers(gateway) {
  return (await gateway.fetch('GET', '/v1/ice-servers')).ice_servers;
}

function toggles(local) {
  return { microphone: local.microphone?.enabled ?? false, camera: local.camera?.enabled ?? false };
}
