// Drives browsers for a test: reads what to do as lines of JSON, and answers each with a line.
//
//   {"id":1,"do":"open","page":"ada","browser":"chromium","detour":{…}}
//   {"id":2,"do":"run","page":"ada","name":"start","given":[…]}     a function of driver/inside.js
//   {"id":3,"do":"screenshot","page":"ada","path":"ada.png"}
//   {"id":4,"do":"reload","page":"ada"}
//
// It ends when there is nothing more to read. Started with the port of its own web server.

import { createInterface } from 'node:readline';

import { Chromium } from './chromium.js';
import { Firefox } from './firefox.js';
import { serve } from './site.js';

const port = Number(process.argv[2]);
const site = await serve(port);
const kinds = { chromium: Chromium, firefox: Firefox };
const browsers = new Map();
const pages = new Map();

/** A browser is started when its first page is. */
function browser(kind) {
  if (!browsers.has(kind)) browsers.set(kind, kinds[kind].start());
  return browsers.get(kind);
}

const acts = {
  async open({ page, browser: kind, detour = null }) {
    const opened = await (await browser(kind)).page(page, detour);
    pages.set(page, opened);
    await opened.goto(`http://127.0.0.1:${port}/`);
  },
  run: ({ page, name, given = [] }) => pages.get(page).run(name, given),
  screenshot: ({ page, path }) => pages.get(page).screenshot(path),
  reload: ({ page }) => pages.get(page).goto(`http://127.0.0.1:${port}/?${performance.now()}`),
};

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  answer(order).then(said => process.stdout.write(`${JSON.stringify({ id: order.id, ...said })}\n`));
}
for (const open of browsers.values()) await (await open).close();
site.close();

async function answer(order) {
  try {
    return { ok: (await acts[order.do](order)) ?? null };
  } catch (error) {
    return { failed: String(error?.stack ?? error) };
  }
}
