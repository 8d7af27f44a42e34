// Each example by the two commands of its README, word for word but for the ports: somebody signs in with the phone that
// `saoma try` gives them to hold, the site greets them, and they sign out.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { cpSync, existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { after, before, test } from 'node:test';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { launch } from '../browser/tests/support/browser.js';
import { freePort, inState } from '../parties/world.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const BINARY = process.env.PARTIES_SAOMA ?? here('../target/debug/saoma');
// Copies below target/, so that what they install and build is not left beside the source.
const ROOM = here('../target/examples-run');
const OWN = ['node_modules', '.venv', '.next', '__pycache__'];

let browser;
const running = [];
before(async () => { browser = await launch(); });
after(async () => {
  await browser.close();
  for (const stop of running.reverse()) await stop();
});

/** Starts a command line with all that it starts itself, and waits until somebody answers at `url`. */
async function run(line, url, cwd) {
  const child = spawn('bash', ['-c', line], { cwd, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const printed = [];
  for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', (said) => printed.push(said));
  const ended = new Promise((done) => child.once('exit', done));
  let over = false;
  ended.then(() => { over = true; });
  running.push(() => {
    if (!over) process.kill(-child.pid);
    return ended;
  });
  for (const end = Date.now() + 240_000; !(await fetch(url).then(({ ok }) => ok, () => false)); ) {
    assert.ok(!over && Date.now() < end, `${line} does not answer at ${url}:\n${printed.join('\n')}`);
    await new Promise((done) => setTimeout(done, 200));
  }
  return printed;
}

/** A copy of the example that speaks of these ports; what an earlier run installed there stays. */
function copy(name, ports) {
  const [from, to] = [here(name), join(ROOM, 'examples', name)];
  cpSync(from, to, { recursive: true, filter: (path) => !OWN.includes(relative(from, path).split('/')[0]) });
  for (const entry of readdirSync(to, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath ?? entry.path, entry.name);
    if (!entry.isFile() || OWN.includes(relative(to, path).split('/')[0]) || entry.name === 'package-lock.json') continue;
    const text = readFileSync(path, 'utf8');
    const moved = text.replace(/\b(8080|9100|8090|3000)\b/g, (port) => ports[port]);
    if (moved !== text) writeFileSync(path, moved);
  }
  return to;
}

/** The phone of `saoma try`, in another tab. */
async function approve(context, wechat) {
  const phone = await context.newPage();
  await phone.goto(`${wechat}/phone`);
  await phone.getByRole('button', { name: /Scan the code of/ }).first().click();
  await phone.getByRole('button', { name: 'Approve' }).click();
  await phone.close();
}

const examples = readdirSync(here('.'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && existsSync(here(`${entry.name}/README.md`)) && /^Open </m.test(readFileSync(here(`${entry.name}/README.md`), 'utf8')))
  .map(({ name }) => name);

for (const name of examples) {
  test(`${name}: two commands, a phone, and the site knows who is there`, async () => {
    const [saoma, wechat, demo, own, desk] = await Promise.all([freePort(), freePort(), freePort(), freePort(), freePort()]);
    const folder = copy(name, { 8080: saoma, 9100: wechat, 8090: demo, 3000: own });
    const readme = readFileSync(join(folder, 'README.md'), 'utf8');
    const [, site] = /^Open <([^>]+)>/m.exec(readme);
    const [first, second, ...more] = /```sh\n([^`]+)\n```/.exec(readme)[1].split('\n');
    assert.deepEqual(more, [], 'two commands are promised');
    const tries = `cargo run -- try --config examples/${name}/saoma.toml`;
    assert.equal(first, tries);
    await run(`exec ${first.replace('cargo run --', BINARY)} --ports ${saoma} ${wechat} ${demo} ${desk}`, `http://127.0.0.1:${saoma}/readyz`, ROOM);
    const said = await run(second, site, ROOM);

    const context = await browser.newContext({ locale: 'en-GB' });
    const page = await context.newPage();
    const wrong = [];
    page.on('pageerror', (error) => wrong.push(error.message));
    await page.goto(site);
    await page.getByText('Nobody is signed in.').waitFor();
    const button = page.getByRole('link', { name: 'Sign in with WeChat' }).or(page.getByRole('button', { name: 'Sign in with WeChat' }));
    if (await button.count()) await button.click();
    await inState(page, 'waiting');
    await approve(context, `http://127.0.0.1:${wechat}`);
    await page.locator('#name').filter({ hasText: /\S/ }).waitFor({ timeout: 60_000 }).catch(async () => {
      assert.fail(`${page.url()} greets nobody:\n${await page.locator('body').innerText()}\n${said.slice(-40).join('\n')}`);
    });
    await page.screenshot({ path: join(ROOM, `${name}.png`) });
    assert.equal(new URL(page.url()).origin, site);
    assert.doesNotMatch(page.url(), /code=/, 'no code is left in the address');

    await page.getByText('Sign out').click();
    await page.getByText('Nobody is signed in.').waitFor();
    assert.deepEqual(wrong, []);
    await context.close();
  });
}
