// The calling page: a small face for client/. What its buttons do, tests do by `window.page`.

import { Call } from './client/call.js';
import { Gateway } from './client/gateway.js';

const at = selector => document.querySelector(selector);
const state = text => { at('#state').textContent = text; };

const page = {
  gateway: null,
  call: null,
  names: new Map(),
  /** What a camera is asked for. */
  picture: { width: 640, height: 360, frameRate: 24 },
  trouble: [],

  /** `session` is what a log-in answers. */
  async open(url, session) {
    page.gateway = new Gateway(url, session);
    page.gateway.addEventListener('event', ({ detail }) => ringing(detail));
    page.gateway.addEventListener('away', () => state('looking for the server…'));
    await new Promise(resolve => page.gateway.addEventListener('ready', () => {
      state(page.call ? 'in a call' : 'ready');
      resolve();
    }));
  },

  async start(fields) {
    const local = await page.camera(fields);
    return page.in(await Call.start(page.gateway, local, { media: 'video', ...fields }));
  },

  async enter(id, command, wish = {}) {
    return page.in(await Call.enter(page.gateway, await page.camera(wish), id, command));
  },

  /** What is sent: in a call of voices, no camera. */
  async camera({ media = 'video' }) {
    const video = media === 'video' ? page.picture : false;
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video });
    const [microphone] = stream.getAudioTracks();
    const [camera = null] = stream.getVideoTracks();
    return { microphone, camera, screen: null };
  },

  /** Turns the camera on in a call of voices. */
  async video() {
    const stream = await navigator.mediaDevices.getUserMedia({ video: page.picture });
    await page.call.addVideo(stream.getVideoTracks()[0]);
  },

  in(call) {
    page.call = call;
    state('in a call');
    at('#controls').hidden = false;
    at('#conversations').hidden = true;
    for (const event of ['media', 'people']) call.addEventListener(event, () => draw(call));
    call.addEventListener('speaker', ({ detail }) => {
      for (const tile of tiles.values()) tile.classList.toggle('speaks', tile.device === detail?.device);
    });
    call.addEventListener('state', ({ detail }) => page.trouble.push(detail));
    call.addEventListener('failed', ({ detail }) => page.trouble.push(String(detail)));
    call.addEventListener('ended', ({ detail }) => ended(call, detail));
    draw(call);
    return call.id;
  },

  async screen() {
    const options = { video: { frameRate: 10 }, preferCurrentTab: true };
    const stream = page.call.local.screen ? null : await navigator.mediaDevices.getDisplayMedia(options);
    await page.call.share(stream?.getVideoTracks()[0] ?? null);
  },
};
window.page = page;

const tiles = new Map();

function draw(call) {
  if (call !== page.call) return;
  const media = call.media.map(one => ({ ...one, key: `${one.device} ${one.source}` }));
  const { camera, screen } = call.local;
  const own = { ...page.gateway.me, own: true };
  if (camera) media.push({ ...own, source: 'camera', track: camera, key: 'own camera' });
  if (screen) media.push({ ...own, source: 'screen', track: screen, key: 'own screen' });
  for (const [key, tile] of tiles) {
    if (!media.some(one => one.key === key)) {
      tile.remove();
      tiles.delete(key);
    }
  }
  const seen = media.filter(({ source }) => source !== 'microphone').length;
  at('#tiles').style.setProperty('--columns', Math.ceil(Math.sqrt(seen)) || 1);
  at('#tiles').style.setProperty('--narrow', seen > 3 ? 2 : 1);
  for (const one of media) show(call, one);
  at('#controls [name=screen]').ariaPressed = String(Boolean(screen));
  at('#controls [name=camera]').ariaPressed = String(Boolean(camera?.enabled));
}

function show(call, { key, user, device, source, track, own }) {
  const tile = tiles.get(key) ?? add(key, source, own);
  Object.assign(tile, { device });
  const element = tile.querySelector('video, audio');
  if (element.srcObject?.getTracks()[0] !== track) element.srcObject = new MediaStream([track]);
  if (source === 'microphone') return;
  const on = call.people.get(device)?.toggles;
  tile.classList.toggle('silent', on?.microphone === false);
  tile.classList.toggle('dark', source === 'camera' && on?.camera === false);
  const text = caption(user, source, own);
  tile.dataset.initial = text.slice(0, 1);
  tile.querySelector('figcaption').textContent = text;
}

function caption(user, source, own) {
  const name = own ? 'You' : page.names.get(user) ?? '…';
  if (!own && !page.names.has(user)) named(user);
  return source === 'screen' ? `${name}: screen` : name;
}

async function named(user) {
  page.names.set(user, '…');
  const { name } = await page.gateway.fetch('GET', `/v1/users/${user}`);
  page.names.set(user, name);
  if (page.call) draw(page.call);
}

function add(key, source, own) {
  const tile = document.createElement('figure');
  const element = document.createElement(source === 'microphone' ? 'audio' : 'video');
  element.dataset.key = key;
  Object.assign(element, { autoplay: true, playsInline: true, muted: Boolean(own) });
  tile.append(element, document.createElement('figcaption'));
  tile.className = source;
  tile.hidden = source === 'microphone';
  tile.classList.toggle('own', Boolean(own) && source === 'camera');
  at('#tiles').append(tile);
  tiles.set(key, tile);
  return tile;
}

function ended(call, cause) {
  if (call !== page.call) return;
  page.call = null;
  call.local.microphone?.stop();
  call.local.camera?.stop();
  for (const tile of tiles.values()) tile.remove();
  tiles.clear();
  at('#controls').hidden = true;
  at('#conversations').hidden = at('#conversations').childElementCount === 0;
  state(`the call ended: ${cause}`);
}

/** Somebody calls. */
function ringing({ type, data }) {
  const dialog = at('#ringing');
  const rings = type === 'call.started' || type === 'call.rung';
  if (rings && data.ring.includes(page.gateway.me.user) && !page.call) {
    dialog.dataset.call = data.call;
    dialog.querySelector('p').textContent = `${page.names.get(data.by.user ?? data.by) ?? 'Somebody'} calls.`;
    dialog.showModal();
  }
  const over = ['call.ended', 'call.missed'].includes(type);
  const taken = type === 'call.accepted' && data.participant.user === page.gateway.me.user;
  if ((over || taken) && dialog.dataset.call === data.call) dialog.close();
}

at('#ringing').addEventListener('click', async ({ target }) => {
  const { call } = at('#ringing').dataset;
  if (!target.value) return;
  at('#ringing').close();
  if (target.value === 'accept') await page.enter(call, 'call.accept');
  else await page.gateway.command('call.decline', { call });
});

at('#controls').addEventListener('click', async ({ target }) => {
  const { name } = target;
  if (name === 'leave') await page.call.leave();
  if (name === 'screen') await page.screen();
  if (name !== 'microphone' && name !== 'camera') return;
  if (name === 'camera' && !page.call.local.camera) {
    await page.video();
    return draw(page.call);
  }
  target.ariaPressed = String(target.ariaPressed !== 'true');
  await page.call.toggle(name, target.ariaPressed === 'true');
});

at('#login').addEventListener('submit', async event => {
  event.preventDefault();
  const { url, email, password } = Object.fromEntries(new FormData(event.target));
  const headers = { 'Content-Type': 'application/json', 'Idempotency-Key': crypto.randomUUID() };
  const body = JSON.stringify({ email, password });
  const answer = await fetch(`${url}/v1/sessions`, { method: 'POST', headers, body });
  if (!answer.ok) return state((await answer.json()).title);
  await page.open(url, await answer.json());
  event.target.hidden = true;
  const { items } = await page.gateway.fetch('GET', '/v1/conversations');
  at('#conversations').replaceChildren(...items.map(entry));
  at('#conversations').hidden = false;
});

function entry({ id, title, with: other }) {
  const item = document.createElement('li');
  const button = document.createElement('button');
  item.textContent = title ?? other?.name ?? 'A conversation';
  button.textContent = 'Call';
  button.onclick = async () => {
    const { call } = await page.gateway.fetch('GET', `/v1/conversations/${id}/call`);
    if (call) await page.enter(call.id);
    else await page.start({ conversation: id, grows: true });
  };
  item.append(button);
  return item;
}
