// What a test asks of a page, from inside it: to do something, and what is seen and heard.

const { page } = globalThis;

/** When each track last showed a picture, and the longest time without one since the last mark. */
const pictures = new Map();

/** The same of one's own camera, which comes by no network: it stands still when this machine does. */
const own = { last: 0, since: 0, gap: 0, shown: 0 };

export async function open(url, session) {
  // Five pages share two cores.
  page.picture = { width: 320, height: 180, frameRate: 12 };
  await page.open(url, session);
  new MutationObserver(watch).observe(document.body, { childList: true, subtree: true });
}

export const start = fields => page.start(fields);
export const enter = (id, command, wish) => page.enter(id, command, wish);
export const leave = () => page.call.leave();
export const toggle = (source, on) => page.call.toggle(source, on);
export const screen = () => page.screen();
export const video = () => page.video();

/** What others said on data channels; what is binary, as numbers. */
const said = [];

/** Opens a data channel, and hears those of others. */
export function channel(label, options) {
  const { sfu } = page.call;
  sfu.addEventListener('message', ({ detail: { user, label, data } }) => {
    said.push({ user, label, data: typeof data === 'string' ? data : [...new Uint8Array(data)] });
  });
  return sfu.open(label, options);
}

export const say = (label, data) => {
  return page.call.sfu.data.send(label, typeof data === 'string' ? data : new Uint8Array(data));
};
export const messages = () => said;

/** Wants a layer of every camera. */
export function prefer(layer) {
  for (const one of page.call.media.filter(one => one.source === 'camera')) {
    page.call.sfu.prefer(one.id, { layer });
  }
}

/** From now on gaps are counted anew. */
export function mark() {
  const now = performance.now();
  for (const seen of [own, ...pictures.values()]) Object.assign(seen, { gap: 0, since: now });
}

/** What is seen and heard at this moment, and how it comes. */
export async function facts() {
  const { call } = page;
  const media = await Promise.all((call?.media ?? []).map(async one => {
    const { user, device, source, by, muted = false, id = null } = one;
    const received = [...(await one.receiver.getStats()).values()].find(s => s.type === 'inbound-rtp');
    const key = `${device} ${source}`;
    return { user, device, source, by, muted, id, ...gap(key), ...count(received ?? {}) };
  }));
  const connections = (call?.connections ?? []).map(pc => pc.connectionState);
  // They change as soon as ICE is restarted.
  const credentials = (call?.connections ?? []).map(({ localDescription: own }) => {
    return /^a=ice-ufrag:(\S+)/m.exec(own?.sdp ?? '')?.[1] ?? '';
  });
  const people = [...(call?.people.values() ?? [])];
  const { trouble } = page;
  const [carrier, node] = [call?.carrier ?? null, call?.sfu?.node ?? null];
  const over = page.call === null;
  return { carrier, node, over, media, connections, credentials, people, trouble, stall: own.gap };
}

/** What this page sends. */
export async function sending() {
  const found = [];
  for (const pc of page.call.connections) {
    for (const stat of (await pc.getStats()).values()) {
      if (stat.type !== 'outbound-rtp' || stat.kind !== 'video') continue;
      const { rid = null, framesSent: frames, frameHeight: height = 0, active } = stat;
      found.push({ rid, frames, height, active, limit: stat.qualityLimitationReason });
    }
  }
  return found;
}

function count(stat) {
  return {
    frames: stat.framesDecoded ?? 0,
    height: stat.frameHeight ?? 0,
    energy: stat.totalAudioEnergy ?? 0,
    samples: stat.totalSamplesReceived ?? 0,
    packets: stat.packetsReceived ?? 0,
    lost: stat.packetsLost ?? 0,
    freezes: stat.freezeCount ?? 0,
    frozen: stat.totalFreezesDuration ?? 0,
  };
}

/** The longest time without a new picture, in milliseconds; it may still last. */
function gap(key) {
  const seen = pictures.get(key);
  if (!seen) return { shown: 0, gap: null };
  return { shown: seen.shown, gap: Math.max(seen.gap, performance.now() - Math.max(seen.last, seen.since)) };
}

/** Follows each picture from its first frame on, through changes of its way. */
function watch() {
  for (const element of document.querySelectorAll('video[data-key]')) {
    const { key } = element.dataset;
    const others = !key.startsWith('own ');
    if (!others && key !== 'own camera' || element.watched) continue;
    element.watched = true;
    const before = others ? pictures.get(key) : own;
    const seen = before ?? { last: performance.now(), since: 0, gap: 0, shown: 0 };
    if (others) pictures.set(key, seen);
    // By when it came in, where the browser says it: how busy this machine is does not count then.
    const frame = (now, { receiveTime: came = now }) => {
      if (seen.shown > 0) seen.gap = Math.max(seen.gap, came - Math.max(seen.last, seen.since));
      seen.last = came;
      seen.shown += 1;
      element.requestVideoFrameCallback(frame);
    };
    element.requestVideoFrameCallback(frame);
  }
}
