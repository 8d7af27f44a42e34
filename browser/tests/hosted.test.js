// saoma's own page: /oauth2/authorize, as a person meets it.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import jsQR from 'jsqr';
import { PNG } from 'pngjs';
import { PHONE, WECHAT, button, complaints, element, inState, launch, lookAgain, status, turnAway } from './support/browser.js';
import { startSaoma } from './support/saoma.js';
import { startSite } from './support/site.js';
import { HOME } from './support/states.js';

let browser, saoma, site, context, page, wrong;

before(async () => {
  [browser, saoma, site] = await Promise.all([launch(), startSaoma(), startSite()]);
  site.pages['/callback'] = '<!doctype html><html lang="en"><title>Back</title>';
});
after(async () => {
  await browser.close();
  await Promise.all([saoma.close(), site.close()]);
});
beforeEach(async (t) => {
  await context?.close();
  saoma.calls.length = saoma.failures.length = saoma.frames.length = 0;
  saoma.hasCode = true;
  await use({});
  t.after(() => assert.deepEqual(wrong, []));
});

async function use(options) {
  context = await browser.newContext({ locale: 'en-GB', ...options });
  page = await context.newPage();
  wrong = complaints(page);
}
const visit = async (more) => {
  await page.goto(saoma.authorize({ redirect_uri: `${site.origin}/callback`, ...more }));
  await inState(page, 'waiting');
};
const read = async () => {
  await page.locator('wechat-login img').first().evaluate((img) => img.decode());
  const { data, width, height } = PNG.sync.read(await page.screenshot());
  return jsQR(new Uint8ClampedArray(data), width, height)?.data;
};
const arrived = async () => {
  await page.waitForURL('**/callback?**');
  return Object.fromEntries(new URL(page.url()).searchParams);
};

test('scan, approve, signed in: the page follows each step and goes back to the site', async () => {
  await visit();
  assert.equal(await status(page).textContent(), 'Scan with WeChat');
  assert.match(await read(), /^weixin:\/\/pretend\/.*scene=/, 'the code can be read off the screen');
  saoma.last.scan();
  await inState(page, 'scanned');
  assert.equal(await page.locator('[part=name]').textContent(), '小明');
  const ticket = saoma.last;
  ticket.approve();
  assert.deepEqual(await arrived(), { code: ticket.code, state: 'S', iss: saoma.origin });
});

test('nothing that is pushed to the page, and no address of it, holds a code', async () => {
  await visit();
  const ticket = saoma.last;
  await ticket.listening;
  ticket.scan();
  await inState(page, 'scanned');
  ticket.approve();
  await arrived();
  assert.deepEqual(saoma.frames.map((frame) => JSON.parse(frame).state), ['waiting', 'scanned', 'approved']);
  assert.ok(!saoma.frames.join().includes(ticket.code));
  assert.ok(!saoma.calls.join().includes(ticket.code));
});

test('the code is there without any script', async () => {
  await context.close();
  await use({ javaScriptEnabled: false });
  await page.goto(saoma.authorize());
  const { data, width, height } = PNG.sync.read(await page.screenshot());
  assert.match(jsQR(new Uint8ClampedArray(data), width, height).data, /scene=/);
  assert.ok(await page.locator('noscript p').boundingBox(), 'and a sentence says what is missing');
  assert.equal(await page.locator('.old').isVisible(), false, 'which is not the browser’s age');
});

for (const lost of ['page.js', 'wechat-login.js']) {
  test(`a browser that cannot run ${lost} is told after a while, and a slow one is not called old at once`, async () => {
    await page.route(`**/${lost}`, (route) => route.fulfill({ contentType: 'text/javascript', body: '' }));
    await page.goto(saoma.authorize());
    await page.locator('wechat-login img').evaluate((img) => img.decode());
    const old = page.locator('.old');
    const { height } = await page.locator('.login').boundingBox();
    assert.equal(await old.isVisible(), false);
    const after = () => page.evaluate(() => document.getAnimations().forEach((some) => some.finish()));
    await after();
    assert.ok(await old.isVisible());
    assert.match(await old.textContent(), /network may be slow, or this browser too old/);
    await old.evaluate((node) => (node.hidden = true));
    const gone = await page.locator('.login').boundingBox();
    assert.ok(Math.abs(gone.height - height) < 1, 'before that it takes no place');
    await page.unroute(`**/${lost}`);
    await page.reload();
    await inState(page, 'waiting');
    await after();
    assert.equal(await old.isVisible(), false);
  });
}

test('where the element breaks as it is made, its code stays and the same word comes', async () => {
  await page.addInitScript(() => {
    window.CSSStyleSheet = class {
      constructor() {
        throw new TypeError('Illegal constructor');
      }
    };
  });
  const broken = page.waitForEvent('pageerror');
  await page.goto(saoma.authorize());
  await broken;
  assert.match(wrong.splice(0).join(), /Illegal constructor/);
  assert.match(await read(), /scene=/);
  await page.evaluate(() => document.getAnimations().forEach((some) => some.finish()));
  assert.ok(await page.locator('.old').isVisible());
});

test('in dark the code stays dark on white, with a quiet margin of four modules', async () => {
  await context.close();
  await use({ colorScheme: 'dark' });
  await visit();
  assert.match(await read(), /scene=/);
  const box = await page.locator('wechat-login [part=qr]').boundingBox();
  const { data, width } = PNG.sync.read(await page.screenshot());
  const at = (x, y) => [...data.subarray((Math.round(y) * width + Math.round(x)) * 4, (Math.round(y) * width + Math.round(x)) * 4 + 3)];
  // The picture has 37 modules and four of margin on each side; the card adds its own 16 pixels.
  const module = (box.width - 32) / 45;
  for (let step = 2; step < 16 + 4 * module - 1; step++) assert.deepEqual(at(box.x + step, box.y + box.height / 2), [255, 255, 255], `white at ${step}`);
  assert.deepEqual(at(box.x + 16 + 4.5 * module, box.y + 16 + 4.5 * module), [0, 0, 0], 'the finder is black');
});

test('a number is asked for: it is shown large and said aloud', async () => {
  await visit();
  saoma.last.scan({ match: '42' });
  await inState(page, 'scanned');
  assert.equal(await page.locator('[part=match]').textContent(), '42');
  assert.equal(await page.getByRole('status').textContent(), 'Type 42 on your phone');
});

test('the state is told to screen readers, politely, and the focus stays where it was', async () => {
  await visit();
  const live = page.getByRole('status').filter({ hasText: 'Scan with WeChat' });
  assert.equal(await live.getAttribute('aria-live') ?? await live.evaluate((node) => node.ariaLive), 'polite');
  await page.getByRole('link', { name: /^Back to/ }).focus();
  saoma.last.scan();
  await inState(page, 'scanned');
  saoma.last.deny();
  await inState(page, 'denied');
  assert.match(await page.evaluate(() => document.activeElement.textContent), /^Back to/);
});

test('not you? one click gives the scanned ticket up and shows another', async () => {
  await visit();
  const first = saoma.last;
  first.scan();
  await inState(page, 'scanned');
  await page.getByRole('button', { name: 'Not you? Start over' }).click();
  await inState(page, 'waiting');
  assert.notEqual(saoma.last.id, first.id);
  assert.equal(saoma.find(first.id), undefined);
});

test('declined: the page stays and says so; the keyboard alone tries again or goes back', async () => {
  await visit();
  const first = saoma.last;
  first.scan();
  first.deny();
  await inState(page, 'denied');
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.shadowRoot.activeElement.textContent), 'Try again');
  await page.keyboard.press('Enter');
  await inState(page, 'waiting');
  assert.notEqual(saoma.last.id, first.id);
  await page.getByRole('link', { name: /^Back to/ }).click();
  assert.deepEqual(await arrived(), { error: 'access_denied' });
});

for (const [reason, words] of [['owner_asked', 'Waiting for the owner’s yes'], ['not_admitted', 'Not signed in']]) {
  test(`${reason}: the page says whose word is missing, and the way back tells the site`, async () => {
    await visit();
    saoma.last.scan();
    saoma.last.deny(reason);
    await page.getByRole('heading', { name: words }).waitFor();
    assert.equal(await page.locator('.reason:visible').count(), 1);
    assert.equal(await status(page).isVisible(), false, 'nobody declined on the phone');
    await page.getByRole('button', { name: 'Try again' }).click();
    await inState(page, 'waiting');
    assert.equal(await page.locator('.reason:visible').count(), 0);
    saoma.last.deny(reason);
    await page.getByRole('heading', { name: words }).waitFor();
    await page.getByRole('link', { name: /^Back to/ }).click();
    assert.equal((await arrived()).error, 'access_denied');
  });
}

test('who runs the site, and what they say of privacy, stands beside its name where the operator wrote it down', async () => {
  await visit();
  assert.equal(await page.locator('.operator').count(), 0);
  saoma.site = { operator: 'Ann <b>', contact: 'ann@example.com', privacy_url: 'https://blog.example.com/privacy' };
  try {
    await visit();
    assert.equal(await page.getByText(/^Run by/).textContent(), 'Run by Ann <b> · ann@example.com');
    assert.equal(await page.getByRole('link', { name: 'Privacy policy' }).getAttribute('href'), 'https://blog.example.com/privacy');
  } finally {
    delete saoma.site;
  }
});

test('a one-time link posts what stands behind its #, and takes it out of the address', async () => {
  saoma.pages = HOME;
  let posted;
  await page.route('**/link', async (route) => {
    if (route.request().method() !== 'POST') return route.continue();
    posted = route.request().postData();
    await route.fulfill({ status: 200, contentType: 'text/html', body: 'begun' });
  });
  await page.goto(`${saoma.origin}/link#the-secret`);
  await page.getByText('begun').waitFor();
  assert.equal(posted, 'code=the-secret');
  assert.ok(!saoma.calls.some((call) => call.includes('the-secret')));
  await page.goBack();
  assert.equal(new URL(page.url()).hash, '');
});

test('an expired code renews by itself while the page is looked at', async () => {
  await visit();
  const first = saoma.last;
  const code = await read();
  first.expire();
  await page.waitForFunction((ticket) => document.querySelector('wechat-login').getAttribute('ticket') !== ticket, first.id);
  await inState(page, 'waiting');
  assert.equal(await element(page).getAttribute('ticket'), saoma.last.id);
  assert.notEqual(await read(), code);
  const ticket = saoma.last;
  ticket.approve();
  assert.equal((await arrived()).code, ticket.code);
});

test('a tab that sleeps does not renew; looked at again, it does at once', async () => {
  await page.clock.install();
  await visit();
  await turnAway(page);
  saoma.last.expire();
  await inState(page, 'expired');
  await page.clock.runFor(60_000);
  assert.equal(saoma.count(/renew/), 0);
  await lookAgain(page);
  await inState(page, 'waiting');
  assert.equal(saoma.count(/renew/), 1);
});

test('five renewals, then a button; the button starts over', async () => {
  await visit();
  for (let renewal = 1; renewal <= 5; renewal++) {
    const old = saoma.last;
    old.expire();
    await page.waitForFunction((ticket) => document.querySelector('wechat-login').getAttribute('ticket') !== ticket, old.id);
    await inState(page, 'waiting');
    assert.equal(saoma.last.renewals, renewal);
  }
  await page.waitForFunction(() => document.querySelector('wechat-login').dataset.state === 'waiting');
  saoma.last.expire();
  await inState(page, 'expired');
  assert.equal(saoma.count(/renew/), 5);
  await button(page).click();
  await inState(page, 'waiting');
  assert.equal(saoma.last.renewals, 0);
});

test('a reload keeps the ticket that a phone may be looking at, and lets the new one go', async () => {
  await visit();
  const first = saoma.last;
  first.scan();
  await inState(page, 'scanned');
  const cancelled = page.waitForResponse(/cancel$/);
  await page.reload();
  await inState(page, 'scanned');
  await cancelled;
  assert.equal(await element(page).getAttribute('ticket'), first.id);
  assert.deepEqual([...saoma.tickets.values()].filter(({ cookie }) => cookie === first.cookie), [first]);
  first.approve();
  assert.equal((await arrived()).code, first.code);
});

test('a look at the ticket of before that stalls holds the code on the screen up for four seconds, not for ever', async () => {
  await page.addInitScript(() => {
    AbortSignal.timeout = (ms) => {
      const stop = new AbortController();
      setTimeout(() => stop.abort(new DOMException('late', 'TimeoutError')), ms);
      return stop.signal;
    };
  });
  await page.clock.install();
  await visit();
  const first = saoma.last;
  await page.route(`**/api/tickets/${first.id}`, () => {}); // Never answered.
  const asked = page.waitForRequest(`**/api/tickets/${first.id}`);
  await page.reload();
  await asked;
  await page.clock.runFor(4_000);
  await inState(page, 'waiting');
  assert.equal(await element(page).getAttribute('ticket'), saoma.last.id);
  assert.notEqual(saoma.last.id, first.id);
  await saoma.last.listening;
});

test('a picture that was lost before the script ran is asked for again', async () => {
  saoma.fail(/GET .*code$/, 502);
  await visit();
  await page.waitForFunction(() => document.querySelector('wechat-login img').naturalWidth);
  assert.match(await read(), /scene=/);
});

test('after a reload the same code is on the screen', async () => {
  await visit();
  const code = await read();
  await page.reload();
  await inState(page, 'waiting');
  assert.equal(await read(), code);
});

test('approved while the page reloads: it is claimed all the same', async () => {
  await visit();
  const ticket = saoma.last;
  ticket.scan();
  await turnAway(page);
  ticket.waiters.clear();
  ticket.approve();
  await page.reload();
  assert.equal((await arrived()).code, ticket.code);
});

test('a reload of a ticket that is over shows a new one', async () => {
  await visit();
  const first = saoma.last;
  first.deny();
  await inState(page, 'denied');
  await page.reload();
  await inState(page, 'waiting');
  assert.notEqual(await element(page).getAttribute('ticket'), first.id);
});

test('another request in the same tab never takes up the ticket of the one before', async () => {
  await visit({ client_id: 'blog' });
  const first = saoma.last;
  await visit({ client_id: 'forum' });
  assert.notEqual(await element(page).getAttribute('ticket'), first.id);
  assert.equal(saoma.last.request.client_id, 'forum');
});

test('two tabs live side by side', async () => {
  await visit();
  const first = saoma.last;
  const other = await context.newPage();
  await other.goto(saoma.authorize({ redirect_uri: `${site.origin}/callback`, state: 'other' }));
  await inState(other, 'waiting');
  const second = saoma.last;
  assert.notEqual(first.id, second.id);
  second.approve();
  await other.waitForURL('**/callback?**');
  assert.equal(await element(page).getAttribute('data-state'), 'waiting');
  first.approve();
  assert.equal((await arrived()).code, first.code);
});

test('one ticket in two windows: the older one says so, does not fight, and can take it back', async () => {
  await visit();
  const ticket = saoma.last;
  await ticket.listening;
  const twin = await context.newPage();
  await twin.addInitScript((kept) => sessionStorage.setItem('saoma-ticket', kept), await page.evaluate(() => sessionStorage.getItem('saoma-ticket')));
  await twin.goto(page.url());
  await inState(twin, 'waiting');
  assert.equal(await element(twin).getAttribute('ticket'), ticket.id);
  await inState(page, 'taken');
  assert.equal(await status(page).textContent(), 'Continues in another window');
  const sockets = saoma.count(/^WS/);
  await turnAway(page);
  await lookAgain(page);
  await page.evaluate(() => fetch(location.href));
  assert.equal(saoma.count(/^WS/), sockets, 'looking at it alone takes nothing back');
  await button(page).click();
  await inState(page, 'waiting');
  await inState(twin, 'taken');
});

test('a ticket that nobody knows any more: the page opens itself anew', async () => {
  await visit();
  const first = saoma.last;
  const again = page.waitForEvent('load');
  first.lose();
  await again;
  await inState(page, 'waiting');
  assert.notEqual(saoma.last.id, first.id);
});

test('a browser whose tickets are never known is not reloaded for ever', async () => {
  saoma.refuse.ws = true;
  saoma.fail(/GET \/api\/tickets\/[^/]+$/, 404, 1000, {}, { code: 'no_such_ticket' });
  await page.goto(saoma.authorize());
  await page.waitForEvent('load');
  await inState(page, 'expired');
  assert.equal(saoma.count(/authorize/), 2);
  saoma.refuse.ws = false;
  assert.ok(await button(page).isVisible());
});

test('going back to the site lets the ticket go', async () => {
  await visit();
  const ticket = saoma.last;
  const cancelled = page.waitForRequest(/cancel$/);
  await page.getByRole('link', { name: /^Back to/ }).click();
  await cancelled;
  await arrived();
  assert.equal(saoma.find(ticket.id), undefined);
});

test('on a desktop the digits come when asked for, and go when a phone has scanned', async () => {
  await visit();
  assert.equal(saoma.count(/digits/), 0);
  await page.getByRole('button', { name: 'Cannot scan? Use digits' }).click();
  const output = page.locator('output').filter({ hasText: /^\d{4} \d{4}$/ });
  await output.waitFor();
  assert.equal((await output.textContent()).replace(' ', ''), saoma.last.digits);
  saoma.last.scan();
  await inState(page, 'scanned');
  assert.equal(await output.isVisible(), false);
});

test('on a phone the digits come first, can be copied, and are renewed with the ticket', async () => {
  await context.close();
  await use({ ...PHONE, permissions: ['clipboard-read', 'clipboard-write'] });
  await visit();
  const output = page.locator('output');
  await output.filter({ hasText: /\d/ }).waitFor();
  const order = await page.evaluate(() => [...document.querySelectorAll('output, wechat-login, .save')].map((node) => node.getBoundingClientRect().top));
  assert.deepEqual(order, [...order].sort((a, b) => a - b), 'digits, picture, saving');
  await page.getByRole('button', { name: 'Copy the digits' }).tap();
  await page.getByRole('button', { name: 'Copied' }).waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), saoma.last.digits);

  const before = saoma.last;
  before.expire();
  await page.waitForFunction((ticket) => document.querySelector('wechat-login').getAttribute('ticket') !== ticket, before.id);
  await output.filter({ hasNotText: before.digits.slice(0, 4) }).waitFor();
  assert.equal((await output.textContent()).replace(' ', ''), saoma.last.digits);
  assert.equal(await page.locator('.save').getAttribute('href'), `/api/tickets/${saoma.last.id}/code`);
});

test('digits that did not come are asked for again when the net is back or the page is looked at', async () => {
  await context.close();
  await use(PHONE);
  saoma.hasCode = false; // Nothing else is left.
  saoma.fail(/POST .*digits$/, 503, 2);
  await Promise.all([page.waitForResponse(/digits$/), visit()]);
  await Promise.all([page.waitForResponse(/digits$/), page.evaluate(() => dispatchEvent(new Event('online')))]);
  await turnAway(page);
  await lookAgain(page);
  await page.locator('output').filter({ hasText: /\d/ }).waitFor();
  assert.equal(saoma.count(/digits$/), 3);
});

test('on a desktop a refusal leaves the button; the digits take its focus', async () => {
  await visit();
  saoma.fail(/POST .*digits$/, 429);
  const ask = page.getByRole('button', { name: 'Cannot scan? Use digits' });
  await ask.focus();
  await Promise.all([page.waitForResponse(/digits$/), page.keyboard.press('Enter')]);
  assert.ok(await ask.isVisible());
  await page.evaluate(() => {
    window.changes = [];
    new MutationObserver((seen) => changes.push(...seen.map(({ type }) => type))).observe(document.querySelector('[data-shown]'), { subtree: true, childList: true, attributeFilter: ['hidden'] });
  });
  await page.keyboard.press('Enter');
  await page.locator('output').filter({ hasText: /\d/ }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Copy the digits');
  assert.deepEqual(await page.evaluate(() => changes), ['attributes', 'childList'], 'shown first and filled then, or nobody hears it');
});

test('a second tap on the copy button within its two seconds does not keep its word for ever', async () => {
  await context.close();
  await use({ ...PHONE, permissions: ['clipboard-read', 'clipboard-write'] });
  await page.clock.install();
  await visit();
  await page.locator('output').filter({ hasText: /\d/ }).waitFor();
  await page.getByRole('button', { name: 'Copy the digits' }).tap();
  await page.clock.runFor(1_500);
  await page.getByRole('button', { name: 'Copied' }).tap();
  await page.clock.runFor(5_000);
  assert.equal(await page.locator('[data-copy]').textContent(), 'Copy the digits');
});

test('on a phone the person goes to WeChat and back: the page has slept, and is signed in when it is looked at', async () => {
  await context.close();
  await use(PHONE);
  await visit();
  const ticket = saoma.last;
  await ticket.listening;
  await turnAway(page);
  ticket.wire.terminate(); // Phones cut the sockets of pages that sleep.
  ticket.scan();
  ticket.approve();
  await lookAgain(page);
  assert.equal((await arrived()).code, ticket.code);
});

test('the picture can be saved', async () => {
  await context.close();
  await use({ ...PHONE, acceptDownloads: true });
  await visit();
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Save the picture' }).tap()]);
  assert.match(download.suggestedFilename(), /\.png$/);
});

test('no picture to be had: a phone still shows its digits', async () => {
  await context.close();
  await use(PHONE);
  saoma.hasCode = false;
  await visit();
  await page.locator('output').filter({ hasText: /\d/ }).waitFor();
  assert.equal(await page.locator('wechat-login [part=qr]').isVisible(), false);
  assert.equal(await page.getByRole('link', { name: 'Save the picture' }).count(), 0);
});

test('in WeChat’s own browser there is one large picture to press, and no digits', async () => {
  await context.close();
  await use(WECHAT);
  await visit();
  const picture = page.locator('wechat-login img').first();
  const { width } = await picture.boundingBox();
  assert.ok(width >= 250, `${width} px`);
  await page.getByText('Press and hold the picture').waitFor();
  assert.equal(await page.locator('output').count(), 0);
  const top = await picture.evaluate((img) => {
    const { x, y, width, height } = img.getBoundingClientRect();
    return document.elementFromPoint(x + width / 2, y + height / 2) === img;
  });
  assert.ok(top, 'nothing lies over the picture');
});

test('names of sites and people are text, never markup', async () => {
  saoma.name = '<img src=x onerror=alert(1)>"\'&';
  try {
    await visit();
    assert.equal(await page.getByRole('heading').textContent(), `Sign in to ${saoma.name}`);
    saoma.last.scan({ person: { nickname: '<script>alert(1)</script>', avatar: null } });
    await inState(page, 'scanned');
    assert.equal(await page.locator('[part=name]').textContent(), '<script>alert(1)</script>');
  } finally {
    saoma.name = '小站 My blog';
  }
});

test('an answer by form is posted on its own, or by a button where there is no script', async () => {
  saoma.pages = { '/oauth2/post': { template: 'form_post.html', values: { action: `${site.origin}/callback`, approved: true, fields: [['code', 'c"<1'], ['state', 'S'], ['submit', 'hides the method of this name']] } } };
  site.posts.length = 0;
  await page.goto(`${saoma.origin}/oauth2/post`);
  await page.waitForURL('**/callback');
  assert.deepEqual(site.posts, [{ path: '/callback', fields: { code: 'c"<1', state: 'S', submit: 'hides the method of this name' } }]);

  await context.close();
  await use({ javaScriptEnabled: false });
  await page.goto(`${saoma.origin}/oauth2/post`);
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.waitForURL('**/callback');
  assert.equal(site.posts.length, 2);
});

test('a person’s home tells the time by the reader’s own clock, and by the server’s words where no script runs', async () => {
  saoma.pages = HOME;
  await use({ timezoneId: 'Asia/Shanghai' });
  await page.goto(`${saoma.origin}/home`);
  await page.getByText('Since 2026-11-02 20:15').first().waitFor();
  assert.equal(await page.getByText('Last seen 2026-11-03 09:40').count(), 3);
  await use({ javaScriptEnabled: false });
  await page.goto(`${saoma.origin}/home`);
  assert.equal(await page.getByText('Since 2026-11-02 12:15 UTC').count(), 3);
});

test('where its name is known, the page says which mini program to open', async () => {
  saoma.miniprogram = 'Hills <b>';
  try {
    await use(PHONE);
    await visit();
    await page.getByText('In WeChat open the mini program “Hills <b>” and type under “Enter digits”:').waitFor();
    await page.getByText('Never used it? Save the picture below').waitFor();
    saoma.hasCode = false;
    await visit();
    assert.equal(await page.getByText('Never used it?').count(), 0, 'there is no picture to save');
  } finally {
    saoma.miniprogram = null;
  }
});

test('digits that do not come: the page says so, and the button stays good', async () => {
  await visit();
  saoma.fail(/digits$/, 429, 1, {}, { code: 'too_many_requests' });
  const ask = page.getByRole('button', { name: 'Cannot scan? Use digits' });
  await ask.click();
  await page.getByText('No digits just now; try again shortly').waitFor();
  await ask.click();
  await page.locator('.digits output').filter({ hasText: /\d{4} \d{4}/ }).waitFor();
  assert.equal(await page.getByText('No digits just now').count(), 0);
});

test('without scripts the code is shown, but first it is said that a scan leads nowhere', async () => {
  for (const options of [{}, PHONE]) {
    await use({ ...options, javaScriptEnabled: false });
    await page.goto(saoma.authorize());
    const notice = await page.locator('noscript p').boundingBox();
    const code = await page.locator('wechat-login img').boundingBox();
    assert.ok(notice.y + notice.height <= code.y && code.width > 100, 'above the code');
    assert.equal(await page.locator('.how:visible, .save:visible, .digits:visible').count(), 0);
  }
});
