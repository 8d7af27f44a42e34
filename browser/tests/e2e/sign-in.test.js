// Scan, tap, signed in: the whole of it, with nothing replaced but WeChat.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { PHONE, button, complaints, element, inState, launch, lookAgain, seriousTroubles, status, turnAway } from '../support/browser.js';
import { readScene, startWorld } from './world.js';

let browser, world, context, page, wrong;

before(async () => {
  [browser, world] = await Promise.all([launch(), startWorld({ settings: '[limits]\noff = true' })]);
});
after(async () => {
  await browser.close();
  await world.stop();
});
beforeEach(async (t) => {
  await context?.close();
  Object.assign(world.proxy, { cutSockets: false, away: false });
  await use({ colorScheme: 'light' });
  t.after(() => assert.deepEqual(wrong, []));
});
const use = async (options) => {
  context = await browser.newContext({ locale: 'en-GB', ...options });
  page = await context.newPage();
  wrong = complaints(page);
};
const visit = async () => {
  await page.goto(world.site.origin);
  await page.getByRole('link', { name: 'Sign in with WeChat' }).click();
  await inState(page, 'waiting');
};
const me = async () => {
  await page.waitForURL(`${world.site.origin}/me`);
  return { sub: await page.locator('#sub').textContent(), name: await page.locator('#name').textContent() };
};
// What the phone is asked for: a tap, or the number that the page shows.
const approve = async (phone, asked, more = {}) => {
  if (asked.ask === 'match') more.match = await page.locator('wechat-login [part=match]').textContent();
  const answer = await phone.approve(asked, more);
  assert.equal(answer.state, 'approved', `${JSON.stringify(answer)} to ${JSON.stringify(asked)}`);
};

test('a request that cannot be is refused on a page that may have its style', async () => {
  await page.goto(`${world.saoma}/oauth2/authorize?client_id=nobody`);
  await page.getByRole('heading', { name: 'Cannot sign in' }).waitFor();
  assert.equal(await page.locator('.sign').evaluate((sign) => getComputedStyle(sign).borderRadius), '50%');
});

test('a code read off the screen, a phone that scans and approves, and the site knows the person', async () => {
  await visit();
  assert.deepEqual(await seriousTroubles(page), []);
  const phone = world.phone('xiaoming');
  const asked = await phone.scan(await readScene(page));
  assert.equal(asked.status, 200, JSON.stringify(asked));
  assert.equal(asked.site.name, 'My blog');
  await inState(page, 'scanned');
  assert.deepEqual(await seriousTroubles(page), []);
  await approve(phone, asked);
  const first = await me();
  assert.ok(first.sub.length > 10);

  await context.close();
  await use({ colorScheme: 'dark' });
  await visit();
  const again = await phone.scan(await readScene(page));
  await inState(page, 'scanned');
  await approve(phone, again);
  assert.equal((await me()).sub, first.sub, 'the same person, from another browser');
});

test('declined on the phone: the page says so, and trying again works', async () => {
  await visit();
  const phone = world.phone('xiaohong');
  const asked = await phone.scan(await readScene(page));
  await inState(page, 'scanned');
  assert.equal((await phone.deny(asked)).state, 'denied');
  await inState(page, 'denied');
  assert.deepEqual(await seriousTroubles(page), []);
  assert.equal(await status(page).textContent(), 'Not confirmed on your phone');
  await button(page).click();
  await inState(page, 'waiting');
  const second = await phone.scan(await readScene(page));
  await inState(page, 'scanned');
  await approve(phone, second);
  await me();
});

test('declined, and back: the site hears that it was', async () => {
  await visit();
  const phone = world.phone('xiaogang');
  const asked = await phone.scan(await readScene(page));
  await phone.deny(asked);
  await inState(page, 'denied');
  await page.locator('[data-back]').click();
  await page.waitForURL(/error=access_denied/);
  assert.match(await page.textContent('body'), /access_denied/);
});

test('not you? another phone has scanned: start over, and the stranger’s phone can do nothing', async () => {
  await visit();
  const stranger = world.phone('a stranger');
  const asked = await stranger.scan(await readScene(page));
  await inState(page, 'scanned');
  await button(page).click();
  await inState(page, 'waiting');
  const late = await stranger.approve(asked);
  assert.ok(late.status >= 400, JSON.stringify(late));
  const phone = world.phone('xiaoming');
  await approve(phone, await phone.scan(await readScene(page)));
  await me();
});

test('a code held in a chat and long-pressed asks for the number that only the page shows', async () => {
  await visit();
  const phone = world.phone('xiaoming');
  const asked = await phone.scan(await readScene(page), 1048);
  assert.equal(asked.ask, 'match');
  await inState(page, 'scanned');
  const match = await page.locator('wechat-login [part=match]').textContent();
  assert.match(match, /^\d\d$/);
  assert.equal((await phone.approve(asked)).code, 'match_required');
  await approve(phone, asked);
  await me();
});

test('the socket is blocked on the way: server-sent events carry it', async () => {
  world.proxy.cutSockets = true;
  world.proxy.paths.length = 0;
  await visit();
  const phone = world.phone('xiaoming');
  const asked = await phone.scan(await readScene(page));
  await inState(page, 'scanned');
  await approve(phone, asked);
  await me();
  const tried = (way) => world.proxy.paths.filter((path) => path.endsWith(way)).length;
  assert.ok(tried('/ws') >= 1 && tried('/ws') <= 2, `${tried('/ws')} sockets`);
  assert.equal(tried('/events'), 1);
});

test('after a reload the phone’s scan still counts', async () => {
  await visit();
  const phone = world.phone('xiaoming');
  const scene = await readScene(page);
  await page.reload();
  await inState(page, 'waiting');
  assert.equal(await readScene(page), scene, 'the same code');
  const asked = await phone.scan(scene);
  await inState(page, 'scanned');
  await page.reload();
  await inState(page, 'scanned');
  await approve(phone, asked);
  await me();
});

test('the net goes away after the scan and comes back after the tap', async () => {
  await visit();
  const phone = world.phone('xiaoming');
  const asked = await phone.scan(await readScene(page));
  await inState(page, 'scanned');
  await context.setOffline(true);
  await inState(page, 'offline');
  assert.equal((await phone.approve(asked)).state, 'approved');
  await context.setOffline(false);
  await me();
});

test('two tabs of one browser sign in side by side', async () => {
  await visit();
  const scene = await readScene(page);
  const other = await context.newPage();
  await other.goto(`${world.saoma}/login`);
  await inState(other, 'waiting');
  const phone = world.phone('xiaoming');
  await phone.approve(await phone.scan(await readScene(other)));
  await other.waitForURL(`${world.saoma}/`);
  await approve(phone, await phone.scan(scene));
  await me();
});

test('the element inside the site', async () => {
  await page.goto(`${world.site.origin}/embedded`);
  await inState(page, 'waiting');
  assert.deepEqual(await seriousTroubles(page), []);
  const phone = world.phone('xiaoming');
  const asked = await phone.scan(await readScene(page));
  await inState(page, 'scanned');
  await approve(phone, asked);
  await me();
});

test('the element in a page that redeems by itself', async () => {
  await page.goto(`${world.site.origin}/by-itself`);
  await inState(page, 'waiting');
  const phone = world.phone('xiaoming');
  const asked = await phone.scan(await readScene(page));
  await inState(page, 'scanned');
  await approve(phone, asked);
  await page.getByRole('heading', { name: /^sub .{10}/ }).waitFor();
});

test('on a phone, by digits: the page sleeps while the person types them into the mini program', async () => {
  await context.close();
  await use(PHONE);
  await visit();
  assert.deepEqual(await seriousTroubles(page), []);
  const output = page.locator('output').filter({ hasText: /\d{4} \d{4}/ });
  await output.waitFor();
  const digits = (await output.textContent()).replace(' ', '');
  await turnAway(page);
  const phone = world.phone('xiaoming');
  const asked = await phone.type(digits);
  assert.equal(asked.status, 200, JSON.stringify(asked));
  await approve(phone, asked);
  await lookAgain(page);
  await me();
});

test('the element on a phone hands over, and comes back signed in', async () => {
  await context.close();
  await use(PHONE);
  await page.goto(`${world.site.origin}/embedded`);
  await inState(page, 'phone');
  await page.getByRole('link', { name: 'Sign in with WeChat' }).tap();
  await inState(page, 'waiting');
  const output = page.locator('output').filter({ hasText: /\d{4} \d{4}/ });
  await output.waitFor();
  const phone = world.phone('xiaoming');
  const asked = await phone.type((await output.textContent()).replace(' ', ''));
  await approve(phone, asked);
  await me();
});

test('saoma is killed while pages wait: one that was decided signs in, one that was not shows a new code', async () => {
  await visit();
  const decided = page;
  const phone = world.phone('xiaoming');
  const asked = await phone.scan(await readScene(decided));
  await inState(decided, 'scanned');
  const waiting = await context.newPage();
  await waiting.goto(`${world.saoma}/login`);
  await inState(waiting, 'waiting');
  const old = await element(waiting).getAttribute('ticket');
  await context.setOffline(true); // So that the decision is not told before the crash.
  assert.equal((await phone.approve(asked)).state, 'approved');
  await world.crash();
  await context.setOffline(false);
  await me();
  await waiting.waitForFunction((ticket) => document.querySelector('wechat-login')?.getAttribute('ticket') !== ticket, old);
  await inState(waiting, 'waiting');
});

test('a person’s own page: sign in, see it, end it', async () => {
  await page.goto(world.saoma);
  await page.getByRole('link', { name: 'Sign in by scanning' }).click();
  await inState(page, 'waiting');
  const phone = world.phone('xiaoming');
  const asked = await phone.scan(await readScene(page));
  await inState(page, 'scanned');
  await approve(phone, asked);
  await page.waitForURL(`${world.saoma}/`);
  await page.getByText('this browser').waitFor();
  assert.deepEqual(await seriousTroubles(page), []);
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('link', { name: 'Sign in by scanning' }).waitFor();
});
