// Debian's Chromium, by playwright-core. All pages are in one browser, each in a profile of its own.

import { createRequire } from 'node:module';

const { chromium } = createRequire(`${process.env.BROWSER_MODULES}/`)('playwright-core');

const ARGUMENTS = [
  '--use-fake-device-for-media-stream',
  '--use-fake-ui-for-media-stream',
  '--auto-accept-this-tab-capture',
  '--autoplay-policy=no-user-gesture-required',
  '--mute-audio',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  // Peers on one machine find each other on loopback, and by addresses rather than mDNS.
  '--allow-loopback-in-peer-connection',
  '--disable-features=WebRtcHideLocalIpsWithMdns',
  // Small pictures have layers too.
  '--force-fieldtrials=WebRTC-LegacySimulcastLayerLimit/Disabled/',
];

export class Chromium {
  static async start() {
    const started = new Chromium();
    started.browser = await chromium.launch({
      executablePath: '/usr/bin/chromium',
      args: ARGUMENTS,
      chromiumSandbox: false,
    });
    return started;
  }

  async page(name, detour) {
    // Small: what is painted, and captured as a screen, without a GPU costs cores that encoders need.
    const context = await this.browser.newContext({ viewport: { width: 800, height: 450 } });
    const page = await context.newPage();
    page.on('console', message => console.error(`${name}: ${message.text()}`));
    page.on('pageerror', error => console.error(`${name}: ${error.stack ?? error}`));
    await page.addInitScript(value => { globalThis.detour = value; }, detour);
    await page.addInitScript({ path: new URL('detour.js', import.meta.url).pathname });
    return new Page(page);
  }

  close() {
    return this.browser.close();
  }
}

class Page {
  constructor(page) {
    this.page = page;
  }

  async goto(url) {
    await this.page.goto(url);
  }

  run(name, given) {
    const run = async ([name, given]) => (await import('/driver/inside.js'))[name](...given);
    return this.page.evaluate(run, [name, given]);
  }

  async screenshot(path) {
    await this.page.screenshot({ path });
  }
}
