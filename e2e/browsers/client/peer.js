// One device of a call that is connected to this one directly. Who came later offers first; after
// that both may offer, and where two offers cross the one who came earlier insists (the pattern is
// known as perfect negotiation).

/** How long a connection may be interrupted before ICE is restarted. */
const INTERRUPTED_MS = 2000;

/**
 * A connection with another device. Events: `media` when what comes over it changed, `failed`.
 */
export class Peer extends EventTarget {
  #send;
  #polite;
  #local;
  #of;
  #making = false;
  #ignores = false;
  #candidates = [];
  #sources = {};
  #queue = Promise.resolve();
  #closed = false;

  /**
   * `send` takes a signal to the other device. `offers`: whether this side came later, so that it
   * offers first and gives way later. `local` is what is sent, by source.
   */
  constructor({ servers, send, offers, local }) {
    super();
    this.#send = send;
    this.#polite = offers;
    this.#local = local;
    this.#of = offers ? crypto.randomUUID() : null;
    this.#open(servers);
    if (offers) this.update();
  }

  #open(servers) {
    this.pc = new RTCPeerConnection({ iceServers: servers });
    this.pc.onicecandidate = ({ candidate }) => candidate && this.#tell({ candidate });
    this.pc.onnegotiationneeded = () => this.#offer();
    this.pc.onconnectionstatechange = () => this.#watch();
    this.pc.ontrack = () => this.#changed();
  }

  /** Sends what there is to be sent, and nothing else. */
  update() {
    const tracks = Object.values(this.#local).filter(Boolean);
    for (const sender of this.pc.getSenders()) {
      if (sender.track && !tracks.includes(sender.track)) this.pc.removeTrack(sender);
    }
    const sent = this.pc.getSenders().map(sender => sender.track);
    for (const track of tracks) if (!sent.includes(track)) this.pc.addTrack(track);
  }

  /** What comes: `{source, track, receiver}` each. */
  get media() {
    return this.pc.getTransceivers()
      .filter(({ mid, currentDirection }) => mid in this.#sources && /recv/.test(currentDirection))
      .map(({ mid, receiver }) => ({ source: this.#sources[mid], track: receiver.track, receiver }));
  }

  /** The other side says something. One thing after the other. */
  hear(signal) {
    this.#queue = this.#queue.then(() => this.#hear(signal)).catch(error => this.#fail(error));
  }

  /** The network changed, or signals may have been lost. */
  restart() {
    if (this.#of && this.pc.connectionState !== 'connected') this.pc.restartIce();
  }

  close() {
    this.#closed = true;
    this.pc.close();
  }

  #tell(signal) {
    this.#send({ of: this.#of, ...signal });
  }

  async #offer() {
    // Who waits for an offer does not make one.
    if (!this.#of || this.#closed) return;
    try {
      this.#making = true;
      await this.pc.setLocalDescription();
      this.#describe();
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#making = false;
    }
  }

  #describe() {
    const sources = {};
    for (const { mid, sender, currentDirection, direction } of this.pc.getTransceivers()) {
      const named = Object.entries(this.#local).find(([, track]) => track && track === sender.track);
      if (named && /send/.test(`${currentDirection} ${direction}`)) sources[mid] = named[0];
    }
    this.#tell({ description: this.pc.localDescription.toJSON(), sources });
  }

  async #hear({ of, description, sources, candidate }) {
    if (this.#closed) return;
    if (of !== this.#of) {
      // A connection of before, of which signals were still on their way.
      if (this.#of || description?.type !== 'offer') return;
      this.#of = of;
    }
    if (description) await this.#described(description, sources);
    else if (candidate) await this.#found(candidate);
  }

  async #described(description, sources) {
    const { pc } = this;
    const crossing = this.#making || pc.signalingState !== 'stable';
    this.#ignores = description.type === 'offer' && crossing && !this.#polite;
    if (this.#ignores) return;
    await pc.setRemoteDescription(description);
    this.#sources = sources;
    for (const early of this.#candidates.splice(0)) await pc.addIceCandidate(early);
    if (description.type === 'offer') {
      // What is sent takes the sections that the offer has.
      this.update();
      await pc.setLocalDescription();
      this.#describe();
    }
    this.#changed();
  }

  async #found(candidate) {
    if (!this.pc.remoteDescription) return void this.#candidates.push(candidate);
    try {
      await this.pc.addIceCandidate(candidate);
    } catch (error) {
      // Those of an offer that was ignored are of no use.
      if (!this.#ignores) throw error;
    }
  }

  #watch() {
    const state = this.pc.connectionState;
    if (state === 'failed') this.restart();
    if (state === 'disconnected') {
      setTimeout(() => this.pc.connectionState === 'disconnected' && this.restart(), INTERRUPTED_MS);
    }
    this.#changed();
  }

  #changed() {
    if (!this.#closed) this.dispatchEvent(new Event('media'));
  }

  #fail(error) {
    if (!this.#closed) this.dispatchEvent(new CustomEvent('failed', { detail: error }));
  }
}
