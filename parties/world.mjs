// `saoma serve` and `saoma pretend` as two processes, the software under trial as more of them, and one person with a browser
// and a phone. Nothing but WeChat is replaced.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { launch } from '../browser/tests/support/browser.js';
import { readScene } from '../browser/tests/e2e/world.js';

const BINARY = process.env.PARTIES_SAOMA ?? fileURLToPath(new URL('../target/debug/saoma', import.meta.url));
const APPID = 'wx0123456789abcdef';

/** Waits until saoma's page, or the element, is in this state; other people's software may take its time before. */
export const inState = (page, state) => page.locator(`wechat-login[data-state=${state}]`).waitFor({ state: 'attached', timeout: 30_000 });

const given = new Set();

/** A port that was free a moment ago, and is nobody else's here: the system soon gives one again that was closed. */
export async function freePort() {
  const server = createServer();
  const port = await new Promise((done) => server.listen(0, '127.0.0.1', () => done(server.address().port)));
  await new Promise((done) => server.close(done));
  return given.has(port) ? freePort() : (given.add(port), port);
}

/** The text of a program's answer, or what is wrong with it. */
async function answerOf(url, options) {
  const answer = await fetch(url, options);
  const text = await answer.text();
  assert.ok(answer.ok, `${url}: ${answer.status} ${text}`);
  return text;
}

export class World {
  processes = [];
  folder = mkdtempSync(join(tmpdir(), 'saoma-parties-'));

  /** `sites` is the TOML of the sites that saoma shall know. */
  static async start(sites) {
    const world = new World();
    const [saoma, admin, wechat] = await Promise.all([freePort(), freePort(), freePort()]);
    Object.assign(world, { issuer: `http://127.0.0.1:${saoma}`, wechat: `http://127.0.0.1:${wechat}`, config: join(world.folder, 'saoma.toml') });
    writeFileSync(world.config, `
public_url = "${world.issuer}"
listen = "127.0.0.1:${saoma}"
admin_listen = "127.0.0.1:${admin}"
store = "sqlite:${join(world.folder, 'saoma.db')}"
[wechat]
appid = "${APPID}"
secret = "pretend"
base_url = "${world.wechat}"
pool = 4
[limits]
off = true
${sites}`);
    try {
      assert.ok(existsSync(BINARY), `${BINARY} is not there: run cargo build first`);
      await world.run([BINARY, 'pretend', '--listen', `127.0.0.1:${wechat}`, '--appid', APPID], `${world.wechat}/pretend/calls`);
      [world.browser] = await Promise.all([launch(), world.run([BINARY, '--config', world.config, '--log', 'warn', 'serve'], `${world.issuer}/readyz`)]);
    } catch (error) {
      await world.stop();
      throw error;
    }
    return world;
  }

  /** Starts a program and waits until it answers at `ready`, if that is given; what it printed is shown if it never does. */
  async run([command, ...args], ready, { within = 120_000, ...options } = {}) {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options, env: { ...process.env, NO_PROXY: '127.0.0.1,localhost,.localhost', ...options.env } });
    const printed = [];
    for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', (line) => printed.push(line));
    const process_ = { printed, ended: new Promise((done) => child.once('close', done).once('error', done)), stop: () => child.kill('SIGTERM') };
    this.processes.push(process_);
    if (!ready) return process_;
    let over = false;
    process_.ended.then(() => { over = true; });
    for (const end = Date.now() + within; ; ) {
      if (await fetch(ready, { redirect: 'manual' }).then(({ status }) => status < 500, () => false)) return process_;
      assert.ok(!over && Date.now() < end, `${command} ${args.join(' ')} does not answer at ${ready}:\n${printed.join('\n')}`);
      await new Promise((done) => setTimeout(done, 50));
    }
  }

  /** What the processes have printed, for a story that went wrong. */
  printed() {
    return this.processes.flatMap(({ printed }) => printed.slice(-40)).join('\n');
  }

  async stop() {
    await this.browser?.close();
    // The last that came is the first to go, so that none misses another.
    for (const { stop, ended } of this.processes.reverse()) {
      stop();
      await ended;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** A browser that nobody has used yet, for the length of the story `t`: none is left that could renew its code. */
  async page(t) {
    const context = await this.browser.newContext({ locale: 'en-GB' });
    t.after(() => context.close());
    return context.newPage();
  }

  /** One call of the mini program, or of the pretend WeChat's controls. */
  async post(url, body, token) {
    const headers = { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) };
    return JSON.parse(await answerOf(url, { method: 'POST', headers, body: JSON.stringify(body) }));
  }

  /** The person looks where they are signed in, on the phone, and ends all of it. */
  async endLogins(person) {
    const { js_code } = await this.post(`${this.wechat}/pretend/js_code`, { person });
    const { token } = await this.post(`${this.issuer}/api/phone/session`, { js_code });
    const headers = { authorization: `Bearer ${token}` };
    const { logins } = JSON.parse(await answerOf(`${this.issuer}/api/phone/logins`, { headers }));
    for (const { id } of logins) await answerOf(`${this.issuer}/api/phone/logins/${id}`, { method: 'DELETE', headers });
  }

  /**
   * The person lifts the phone at the code on this page, reads what it asks, and says yes or no.
   * `scopes` is what they tick; all that was asked for if left out.
   */
  async scan(page, person, { decide = 'approve', remember = false, scopes } = {}) {
    await inState(page, 'waiting');
    const begun = page.url();
    const scene = await readScene(page);
    const { js_code } = await this.post(`${this.wechat}/pretend/js_code`, { person });
    const phone = `${this.issuer}/api/phone/tickets/${scene}`;
    const asked = await this.post(`${phone}/scan`, { js_code, entry: 1047, protocol: 1 });
    await inState(page, 'scanned');
    const yes = { remember, scopes: scopes ?? asked.scopes };
    if (asked.ask === 'match') yes.match = await page.locator('wechat-login [part=match]').textContent();
    await this.post(`${phone}/${decide}`, decide === 'approve' ? yes : {}, asked.token);
    if (decide === 'deny') {
      await inState(page, 'denied');
      await page.locator('[data-back]').click();
    }
    await page.waitForURL((url) => url.href !== begun);
    return asked;
  }
}
