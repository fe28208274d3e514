// Data channels over the SFU: those of one's own are opened on the connection that sends, and those
// of others come on the one that receives, where the signalling says whose they are.

/** How many messages may wait for the frame that says whose they are. */
const EARLY = 100;

export class Data {
  #heard;
  #wished = new Map();
  #own = new Map();
  #others = new Map();
  #streams = new Map();
  #early = [];

  /** `heard` gets `{user, device, label, data}`; what is binary is an `ArrayBuffer`. */
  constructor(heard) {
    this.#heard = heard;
  }

  get isWanted() {
    return this.#wished.size > 0;
  }

  /** Opens a channel; `options` are those of `createDataChannel`. It is opened again after a fall. */
  open(label, options, out) {
    this.#wished.set(label, options);
    if (out && !this.#own.has(label)) this.#own.set(label, out.createDataChannel(label, options));
  }

  /** Says something to everybody. Says whether the channel is open; if not, nobody hears it. */
  send(label, data) {
    const channel = this.#own.get(label);
    if (channel?.readyState !== 'open') return false;
    channel.send(data);
    return true;
  }

  /** New connections, with nothing of those before. */
  connect(out, into) {
    this.#own.clear();
    this.#others.clear();
    this.#streams.clear();
    this.#early = [];
    for (const [label, options] of this.#wished) this.open(label, options, out);
    into.ondatachannel = ({ channel }) => {
      channel.binaryType = 'arraybuffer';
      channel.onmessage = ({ data }) => this.#take(channel.id, data);
    };
  }

  began({ channel, stream, label }, who) {
    this.#others.set(stream, { ...who, label });
    this.#streams.set(channel, stream);
    for (const [id, data] of this.#early.splice(0)) this.#take(id, data);
  }

  /** The stream is free again: what comes on it next is of somebody else. */
  ended({ channel }) {
    this.#others.delete(this.#streams.get(channel));
    this.#streams.delete(channel);
  }

  /** A message may be faster than the frame that says whose it is, but not for long. */
  #take(stream, data) {
    const from = this.#others.get(stream);
    if (from) this.#heard({ ...from, data });
    else if (this.#early.length < EARLY) this.#early.push([stream, data]);
  }
}
