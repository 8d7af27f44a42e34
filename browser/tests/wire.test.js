// How the page listens: a socket, or events where that is cut, or a long poll; and how it behaves when nothing goes through.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { LISTEN, button, complaints, heard, inState, launch, lookAgain, status, turnAway } from './support/browser.js';
import { startSaoma } from './support/saoma.js';
import { startSite } from './support/site.js';

let browser, saoma, site, context, page, wrong;

before(async () => {
  [browser, saoma, site] = await Promise.all([launch(), startSaoma(), startSite()]);
  saoma.origins.push(site.origin);
  site.pages['/'] = `<!doctype html><html lang="en"><meta charset="utf-8"><title>A blog</title>${LISTEN}
    <script type="module" src="${saoma.origin}/wechat-login.js"></script>
    <wechat-login client-id="blog" redirect-uri="${site.origin}/callback"></wechat-login></html>`;
});
after(async () => {
  await browser.close();
  await Promise.all([saoma.close(), site.close()]);
});
beforeEach(async (t) => {
  await context?.close();
  saoma.calls.length = saoma.failures.length = 0;
  saoma.refuse = {};
  context = await browser.newContext({ locale: 'en-GB' });
  page = await context.newPage();
  wrong = complaints(page);
  t.after(() => assert.deepEqual(wrong, []));
});

const visit = async () => {
  await page.goto(site.origin);
  await inState(page, 'waiting');
};
const called = (pattern, times = 1) =>
  new Promise((done) => {
    const look = setInterval(() => {
      if (saoma.count(pattern) < times) return;
      clearInterval(look);
      done();
    }, 5);
  });
const approved = () => page.waitForFunction(() => heard.some(({ name }) => name === 'approved'));

test('a socket carries the whole sign-in: one upgrade, no polling', async () => {
  await visit();
  await saoma.last.listening;
  saoma.last.scan();
  await inState(page, 'scanned');
  saoma.last.approve();
  await approved();
  assert.equal(saoma.count(/^WS/), 1);
  assert.equal(saoma.count(/^GET \/api\/tickets\/[^/]+$/), 0);
  assert.equal(saoma.count(/events/), 0);
});

test('two refused upgrades, then server-sent events', async () => {
  saoma.refuse.ws = true;
  await visit();
  await called(/events$/);
  await saoma.last.listening;
  assert.equal(saoma.count(/^WS/), 2);
  saoma.last.scan({ match: '19' });
  await inState(page, 'scanned');
  assert.equal(await status(page).textContent(), 'Type 19 on your phone');
  saoma.last.approve();
  await approved();
  assert.equal(saoma.count(/^WS/), 2);
  assert.equal(saoma.count(/events/), 1);
});

test('events refused as well: a long poll', async () => {
  saoma.refuse = { ws: true, events: true };
  await visit();
  await called(/after=waiting&wait=25/);
  assert.equal(saoma.count(/events/), 2);
  saoma.last.scan();
  await inState(page, 'scanned');
  await called(/after=scanned&wait=25/);
  saoma.last.approve();
  await approved();
  assert.equal(saoma.count(/after=/), 2, 'each answer was waited for');
});

test('a proxy that opens sockets and lets nothing through is given up after some seconds', async () => {
  saoma.refuse.frames = true;
  await page.clock.install();
  await page.goto(site.origin);
  await inState(page, 'waiting');
  await called(/^WS/, 1);
  await page.clock.runFor(9_000);
  await called(/^GET \/api\/tickets\/[^/]+$/, 1);
  await called(/^WS/, 2);
  await page.clock.runFor(9_000);
  await called(/^GET \/api\/tickets\/[^/]+$/, 2);
  await called(/events$/, 1);
});

test('the socket is cut between scan and approval: nothing is missed', async () => {
  await visit();
  const ticket = saoma.last;
  await ticket.listening;
  ticket.scan();
  await inState(page, 'scanned');
  ticket.wire.terminate();
  ticket.approve();
  await approved();
  assert.deepEqual((await heard(page)).map(({ name }) => name), ['ready', 'scanned', 'approved']);
});

test('a picture that did not come is asked for again by itself, and at once when the page wakes up', async () => {
  const loaded = () => page.waitForFunction(() => document.querySelector('wechat-login').shadowRoot.querySelector('[part=code]').naturalWidth);
  saoma.fail(/GET .*code$/, 502, 2);
  await visit();
  await loaded();
  assert.equal(saoma.count(/GET .*code$/), 3);

  await page.clock.install();
  saoma.fail(/GET .*code$/, 502);
  await page.reload();
  await called(/GET .*code$/, 4);
  await saoma.last.listening;
  await page.evaluate(() => dispatchEvent(new Event('online')));
  await loaded();
});

test('an element that was taken out asks for its picture no more', async () => {
  await page.clock.install();
  saoma.fail(/GET .*code$/, 502, 1000);
  await visit();
  await called(/GET .*code$/, 1);
  await saoma.last.listening;
  await page.evaluate(() => {
    window.taken = document.querySelector('wechat-login');
    window.pictures = 0;
    const picture = taken.shadowRoot.querySelector('[part=code]');
    new MutationObserver((seen) => (pictures += seen.length)).observe(picture, { attributeFilter: ['src'] });
    picture.dispatchEvent(new Event('error'));
    taken.remove();
  });
  await page.clock.runFor(60_000);
  assert.equal(await page.evaluate(() => pictures), 0);
});

test('offline is shown at once, and all goes on when the net is back', async () => {
  await visit();
  const ticket = saoma.last;
  await ticket.listening;
  await context.setOffline(true);
  await inState(page, 'offline');
  assert.equal(await status(page).textContent(), 'No connection. Trying again…');
  ticket.scan();
  await context.setOffline(false);
  await inState(page, 'scanned');
  ticket.approve();
  await approved();
});

test('the server is away when the page opens: it tries again by itself, ever more slowly', async () => {
  await page.clock.install();
  saoma.fail(/POST \/api\/tickets$/, 502, 1000);
  await page.goto(site.origin);
  await inState(page, 'offline');
  await called(/POST \/api\/tickets$/, 1);
  for (let minute = 0; minute < 5; minute++) await page.clock.runFor(60_000);
  const tries = saoma.count(/POST \/api\/tickets$/);
  assert.ok(tries >= 6 && tries <= 60, `${tries} tries in five minutes`);
  saoma.failures.length = 0;
  await page.clock.runFor(31_000);
  await inState(page, 'waiting');
  assert.equal((await heard(page)).filter(({ name }) => name === 'error').length, 0);
});

test('Retry-After is kept to', async () => {
  await page.clock.install();
  saoma.fail(/POST \/api\/tickets$/, 429, 1, { 'retry-after': '20', 'access-control-expose-headers': 'retry-after' }, { code: 'too_many_requests' });
  await page.goto(site.origin);
  await inState(page, 'offline');
  // Time goes on by itself, too.
  await page.clock.runFor(12_000);
  assert.equal(saoma.count(/POST \/api\/tickets$/), 1);
  await page.clock.runFor(9_000);
  await called(/POST \/api\/tickets$/, 2);
  await inState(page, 'waiting');
});

test('a server that is busy is not called a lost connection, and a tab that is looked at again keeps to Retry-After too', async () => {
  await page.clock.install();
  for (const [code, status] of [['too_many_requests', 429], ['no_code_now', 503], ['wechat_unreachable', 502]]) {
    saoma.calls.length = 0;
    saoma.fail(/POST \/api\/tickets$/, status, 1, { 'retry-after': '20', 'access-control-expose-headers': 'retry-after' }, { code });
    await page.goto(site.origin);
    await inState(page, 'offline');
    assert.equal(await page.locator('wechat-login [part=status]').textContent(), 'Busy. Trying again…', code);
    await page.clock.runFor(10_000);
    await turnAway(page);
    await lookAgain(page);
    await page.evaluate(() => dispatchEvent(new Event('online')));
    assert.equal(saoma.count(/POST \/api\/tickets$/), 1);
    await turnAway(page);
    await page.clock.runFor(11_000);
    assert.equal(saoma.count(/POST \/api\/tickets$/), 1, 'nobody looks');
    await lookAgain(page);
    await inState(page, 'waiting');
  }
});

test('a page that nobody looks at does not knock at a server that is away', async () => {
  await page.clock.install();
  await visit();
  await saoma.last.listening;
  await turnAway(page);
  saoma.refuse.ws = true;
  saoma.fail(/^GET/, 502, 1000);
  saoma.last.wire.terminate();
  await page.clock.runFor(300_000);
  const calls = saoma.calls.length;
  await page.clock.runFor(300_000);
  assert.equal(saoma.calls.length, calls);
  saoma.failures.length = 0;
  saoma.refuse.ws = false;
  await lookAgain(page);
  saoma.last.approve();
  await approved();
});

test('a lost reply to a claim is asked for again', async () => {
  await visit();
  saoma.fail(/claim$/, 503, 2);
  saoma.last.approve();
  await approved();
  assert.equal(saoma.count(/POST .*claim$/), 3);
  assert.equal((await heard(page)).filter(({ name }) => name === 'approved').length, 1);
});

test('the word of the end is lost: the page asks a little after the ticket’s time', async () => {
  await page.clock.install();
  await visit();
  await saoma.last.listening;
  const ticket = saoma.last;
  ticket.waiters.clear();
  ticket.expire();
  await page.clock.runFor(124_000);
  await page.waitForFunction(() => heard.some(({ name }) => name === 'expired'));
  await page.waitForFunction(() => heard.filter(({ name }) => name === 'ready').length === 2);
});

test('a node died with the ticket: the page opens another by itself, five times at the most', async () => {
  // How long the page waits between its tries is thrown with dice: these always fall for the shortest.
  await page.addInitScript(() => (Math.random = () => 0));
  await visit();
  for (let time = 1; time <= 5; time++) {
    await saoma.last.listening;
    saoma.last.lose();
    await page.waitForFunction((count) => heard.filter(({ name }) => name === 'ready').length === count, time + 1);
  }
  await saoma.last.listening;
  saoma.last.lose();
  await inState(page, 'expired');
  assert.equal(saoma.count(/POST \/api\/tickets$/), 6);
  await button(page).click();
  await inState(page, 'waiting');
});

test('a renewal that comes too late finds the phone has scanned', async () => {
  await visit();
  const ticket = saoma.last;
  await ticket.listening;
  saoma.fail(/renew$/, 409, 1, {}, { code: 'already_decided' });
  ticket.expire();
  await called(/renew$/);
  ticket.scan();
  await inState(page, 'scanned');
});

// A phone that is unlocked says all of this at once; what is called by then is answered only after.
const wakesUpDuring = async (pattern, act) => {
  let answer;
  const woken = new Promise((done) => (answer = done));
  await page.route(pattern, (route) => woken.then(() => route.continue()));
  const first = page.waitForRequest(pattern);
  await act();
  await first;
  await page.evaluate(() => {
    dispatchEvent(new Event('online'));
    dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }));
  });
  answer();
  await inState(page, 'waiting');
  await saoma.last.listening;
};

test('a page that wakes up renews once, whatever wakes it, and shows what it got', async () => {
  await visit();
  await saoma.last.listening;
  await turnAway(page);
  saoma.last.expire();
  await inState(page, 'expired');
  await wakesUpDuring(/renew$/, () => lookAgain(page));
  assert.equal(saoma.count(/POST .*renew$/), 1);
  assert.equal(saoma.count(/POST \/api\/tickets$/), 1);
});

test('a page that wakes up while it opens a ticket opens no second', async () => {
  await wakesUpDuring(/api\/tickets$/, () => page.goto(site.origin));
  assert.equal(saoma.count(/POST \/api\/tickets$/), 1);
});

test('auto-refresh="false" leaves the renewal to the person', async () => {
  await visit();
  await page.evaluate(() => document.querySelector('wechat-login').setAttribute('auto-refresh', 'false'));
  saoma.last.expire();
  await inState(page, 'expired');
  assert.equal(await status(page).textContent(), 'This code has expired');
  await button(page).focus();
  await page.keyboard.press('Enter');
  await inState(page, 'waiting');
  assert.equal(saoma.count(/POST .*renew$/), 1);
  assert.equal(await page.evaluate(() => document.activeElement.localName), 'wechat-login', 'the keyboard’s place is not lost with the button');
});
