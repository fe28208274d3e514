// Debian's Firefox as it is, by WebDriver BiDi: a few commands over its remote debugging socket.
// (playwright-core speaks to a Firefox that was changed for it.)

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const PREFERENCES = {
  'media.navigator.streams.fake': true,
  'media.navigator.permission.disabled': true,
  'media.autoplay.default': 0,
  // Peers on one machine find each other on loopback, and by addresses rather than mDNS.
  'media.peerconnection.ice.loopback': true,
  'media.peerconnection.ice.obfuscate_host_addresses': false,
  // Nothing is looked up or downloaded that no test asked for.
  'app.update.enabled': false,
  'browser.shell.checkDefaultBrowser': false,
  'datareporting.policy.dataSubmissionEnabled': false,
  'media.gmp-manager.updateEnabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'services.settings.server': 'http://127.0.0.1:9/',
};

export class Firefox {
  #commands = new Map();
  #next = 1;

  static async start() {
    const started = new Firefox();
    started.profile = mkdtempSync(join(tmpdir(), 'roundtable-firefox-'));
    const lines = Object.entries(PREFERENCES)
      .map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});`);
    writeFileSync(join(started.profile, 'user.js'), lines.join('\n'));
    const given = ['--headless', '--no-remote', '--profile', started.profile, '--remote-debugging-port', '0'];
    // The kernel ends it when the driver ends, however it does.
    const command = ['--pdeathsig', 'KILL', '/usr/bin/firefox-esr', ...given];
    const child = spawn('setpriv', command, { stdio: ['ignore', 'ignore', 'pipe'] });
    started.child = child;
    await started.#connect(await address(child));
    return started;
  }

  async #connect(address) {
    this.socket = new WebSocket(`${address}/session`);
    await new Promise((resolve, reject) => {
      this.socket.onopen = resolve;
      this.socket.onerror = () => reject(new Error('Firefox does not answer'));
    });
    this.socket.onmessage = ({ data }) => this.#hear(JSON.parse(data));
    await this.ask('session.new', { capabilities: {} });
    await this.ask('session.subscribe', { events: ['log.entryAdded'] });
  }

  #hear({ id, type, result, error, message, method, params }) {
    if (method === 'log.entryAdded') console.error(`firefox: ${params.text}`);
    const command = this.#commands.get(id);
    this.#commands.delete(id);
    if (type === 'success') command?.resolve(result);
    if (type === 'error') command?.reject(new Error(`${error}: ${message}`));
  }

  ask(method, params) {
    const id = this.#next++;
    this.socket.send(JSON.stringify({ id, method, params }));
    return new Promise((resolve, reject) => this.#commands.set(id, { resolve, reject }));
  }

  async page(name, detour) {
    const { userContext } = await this.ask('browser.createUserContext', {});
    const made = await this.ask('browsingContext.create', { type: 'tab', userContext });
    const { context } = made;
    const detours = readFileSync(new URL('detour.js', import.meta.url), 'utf8');
    const early = `() => { globalThis.detour = ${JSON.stringify(detour)}; ${detours} }`;
    await this.ask('script.addPreloadScript', { functionDeclaration: early, contexts: [context] });
    return new Page(this, context);
  }

  async close() {
    const gone = new Promise(resolve => this.child.once('exit', resolve));
    await this.ask('browser.close', {}).catch(() => {});
    const late = setTimeout(() => this.child.kill('SIGKILL'), 3000);
    await gone;
    clearTimeout(late);
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

class Page {
  constructor(firefox, context) {
    Object.assign(this, { firefox, context });
  }

  async goto(url) {
    await this.firefox.ask('browsingContext.navigate', { context: this.context, url, wait: 'complete' });
  }

  /** What goes in and out is JSON, as text. */
  async run(name, given) {
    const text = JSON.stringify([name, given]);
    const functionDeclaration = `async text => {
      const [name, given] = JSON.parse(text);
      return JSON.stringify((await (await import('/driver/inside.js'))[name](...given)) ?? null);
    }`;
    const { type, result, exceptionDetails } = await this.firefox.ask('script.callFunction', {
      functionDeclaration,
      arguments: [{ type: 'string', value: text }],
      target: { context: this.context },
      awaitPromise: true,
      // Cameras are given to whom a person asked.
      userActivation: true,
    });
    if (type === 'exception') throw new Error(exceptionDetails.text);
    return JSON.parse(result.value);
  }

  async screenshot(path) {
    const { data } = await this.firefox.ask('browsingContext.captureScreenshot', { context: this.context });
    writeFileSync(path, Buffer.from(data, 'base64'));
  }
}

/** Where it listens: it says so on its standard error. */
function address(child) {
  return new Promise((resolve, reject) => {
    const lines = createInterface({ input: child.stderr });
    lines.on('line', line => {
      const found = /WebDriver BiDi listening on (ws:\S+)/.exec(line);
      if (found) resolve(found[1]);
    });
    child.once('exit', code => reject(new Error(`Firefox ended with ${code}`)));
  });
}
