// The operators' console, served by the real saoma with a busy month in its database: every page in both languages and themes,
// on a desktop and on a phone, and the way in by scanning.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { DESKTOP, PHONE, complaints, inState, launch, seriousTroubles } from '../support/browser.js';
import { addKnown, comeIn, pages, somebody } from '../support/console.js';
import { readScene, startWorld } from './world.js';

let browser, busy, fresh;

before(async () => {
  [browser, busy, fresh] = await Promise.all([launch(), startWorld({ month: true }), startWorld()]);
});
after(async () => {
  await browser.close();
  await Promise.all([busy.stop(), fresh.stop()]);
});

const small = { ...PHONE, viewport: { width: 360, height: 740 } };
const fits = (page) => page.evaluate(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth);

// Desktop and phone meet every theme and language.
for (const [device, options, colorScheme, lang] of [
  ['desktop', DESKTOP, 'light', 'zh'],
  ['desktop', DESKTOP, 'dark', 'en'],
  ['phone', small, 'light', 'en'],
  ['phone', small, 'dark', 'zh'],
]) {
  test(`every page, ${device}, ${colorScheme}, ${lang}`, async (t) => {
    const context = await browser.newContext({ ...options, colorScheme, locale: lang === 'zh' ? 'zh-CN' : 'en-GB', timezoneId: 'Asia/Shanghai', reducedMotion: 'reduce' });
    t.after(() => context.close());
    const page = await context.newPage();
    const wrong = complaints(page);
    for (const path of ['/console/link', '/console/sign-in']) {
      await page.goto(busy.console + path);
      assert.deepEqual(await seriousTroubles(page), [], path);
      assert.ok(await fits(page), `${path}: nothing is wider than the screen`);
    }
    await comeIn(page, busy);
    const person = await somebody(page, busy);
    for (const [name, path] of Object.entries(pages(person))) {
      await page.goto(busy.console + path);
      // Folded parts are read too, and must fit.
      await page.evaluate(() => document.querySelectorAll('details').forEach((details) => (details.open = true)));
      assert.deepEqual(await seriousTroubles(page), [], name);
      assert.ok(await fits(page), `${name}: nothing is wider than the screen`);
      const heading = await page.locator('nav a[aria-current=page]').textContent();
      assert.equal(/[\u4e00-\u9fff]/.test(heading), lang === 'zh', name);
      for (const plot of await page.locator('figure').all()) assert.ok(await plot.locator('table').count(), `${name}: a table stands beside each plot`);
    }
    for (const app of ['gitea', 'grafana']) {
      await addKnown(page, busy, app, `${app}-${device}-${colorScheme}`);
      assert.deepEqual(await seriousTroubles(page), [], app);
      assert.ok(await fits(page), `${app}: nothing is wider than the screen`);
    }
    assert.deepEqual(wrong, []);
  });
}

test('a known application is added, and each value is copied by its button', async (t) => {
  const context = await browser.newContext({ ...DESKTOP, locale: 'en-GB', permissions: ['clipboard-read', 'clipboard-write'] });
  t.after(() => context.close());
  const page = await context.newPage();
  const wrong = complaints(page);
  await comeIn(page, busy);
  await page.getByRole('link', { name: 'Sites', exact: true }).click();
  await page.getByRole('link', { name: 'Add a site' }).click();
  await page.getByRole('link', { name: 'Immich' }).click();
  await page.getByLabel('Where the application is').fill('https://photos.example.com');
  await page.getByLabel('client_id').fill('immich-at-home');
  await page.getByRole('button', { name: 'Add' }).click();
  await page.getByRole('heading', { name: 'Paste into Immich' }).waitFor();
  await page.getByRole('button', { name: 'Copy Client Secret' }).click();
  const secret = await page.locator('dt', { hasText: 'Client Secret' }).locator('xpath=following-sibling::dd').locator('code').textContent();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), secret);
  await page.goto(`${busy.console}/console/sites/immich-at-home`);
  assert.ok(!(await page.content()).includes(secret), 'it is shown once');
  await page.getByRole('link', { name: 'Try it' }).waitFor();
  assert.deepEqual(wrong, []);
});

test('the first owner: the printed link, a scan, the number, and the console is open', async (t) => {
  const context = await browser.newContext({ ...DESKTOP, locale: 'en-GB' });
  t.after(() => context.close());
  const page = await context.newPage();
  const wrong = complaints(page);
  await page.goto(`${fresh.console}/console`);
  await page.getByText('has no owner yet').waitFor();
  const link = /http:\S+\/console\/link#\S+/.exec(fresh.printed())[0];
  await page.goto(link);
  assert.equal(page.url(), `${fresh.console}/console/link`, 'what stood behind the # is out of the address');
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.getByRole('heading', { name: 'Become the owner of this server' }).waitFor();
  await inState(page, 'waiting');
  const phone = fresh.phone('xiaoming');
  const asked = await phone.scan(await readScene(page));
  assert.equal(asked.ask, 'match', JSON.stringify(asked));
  await inState(page, 'scanned');
  const match = await page.locator('wechat-login [part=match]').textContent();
  assert.equal((await phone.approve(asked, { match })).state, 'approved');
  await page.waitForURL(`${fresh.console}/console`);
  await page.getByRole('heading', { name: 'Overview' }).waitFor();

  await page.getByRole('link', { name: 'Sites' }).click();
  await page.getByRole('link', { name: 'My blog' }).click();
  await page.getByRole('link', { name: 'Try it' }).click();
  await inState(page, 'waiting');
  const tried = await phone.scan(await readScene(page));
  await inState(page, 'scanned');
  await phone.approve(tried, { scopes: ['profile'], ...(tried.ask === 'match' && { match: await page.locator('wechat-login [part=match]').textContent() }) });
  await page.getByRole('heading', { name: 'What the site would be told' }).waitFor();
  await page.getByText('preferred_username').first().waitFor();
  assert.deepEqual(await seriousTroubles(page), []);

  await page.goto(`${fresh.console}/console/sites`);
  const handset = await browser.newContext({ ...PHONE, locale: 'en-GB', storageState: await context.storageState() });
  t.after(() => handset.close());
  const held = await handset.newPage();
  await held.goto(`${fresh.console}/console/sites/blog/try`);
  const digits = held.locator('.digits output').filter({ hasText: /\d/ });
  await digits.waitFor();
  assert.equal((await phone.type((await digits.textContent()).replace(' ', ''))).status, 200);
  await inState(held, 'scanned');
  assert.equal(await digits.isVisible(), false, 'once scanned they are of no use');

  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('heading', { name: 'Sign in to the console' }).waitFor();
  assert.deepEqual(wrong, []);
});

test('magnified, the way out can be reached, and every field of a filter stands on the screen', async (t) => {
  const context = await browser.newContext({ locale: 'en-GB' });
  t.after(() => context.close());
  const page = await context.newPage();
  await comeIn(page, busy);
  await page.setViewportSize({ width: 910, height: 413 });
  await page.goto(`${busy.console}/console/settings`);
  const out = page.getByRole('button', { name: 'Sign out' });
  await out.scrollIntoViewIfNeeded();
  const { y, height } = await out.boundingBox();
  assert.ok(y >= 0 && y + height <= 413, `from ${y} on`);
  await page.setViewportSize({ width: 320, height: 700 });
  await page.goto(`${busy.console}/console/audit`);
  for (const field of await page.locator('.filter :is(input, select)').all()) {
    const { x, width } = await field.boundingBox();
    assert.ok(x >= 0 && x + width <= 320, `${await field.getAttribute('id')} ends at ${x + width}`);
    if (await field.getAttribute('type') === 'date') assert.ok(width >= 168, 'a date can be read');
  }
});

test('by keyboard alone: to the content, through the parts, into a folded table', async (t) => {
  const context = await browser.newContext({ ...DESKTOP, locale: 'en-GB' });
  t.after(() => context.close());
  const page = await context.newPage();
  await comeIn(page, busy);
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to content');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
  await page.locator('summary').first().focus();
  await page.keyboard.press('Enter');
  assert.ok(await page.getByRole('columnheader', { name: 'By scan' }).isVisible());
});

test('without scripts every page is there, and forms work', async (t) => {
  const context = await browser.newContext({ ...DESKTOP, locale: 'en-GB', javaScriptEnabled: false });
  t.after(() => context.close());
  const page = await context.newPage();
  const link = busy.link();
  await page.goto(`${busy.console}/console/link`);
  await page.getByLabel(/^The link/).fill(link);
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.getByRole('heading', { name: 'Overview' }).waitFor();
  assert.ok(await page.locator('.plot rect').count() > 30, 'plots are drawn by the server');
  await page.getByRole('link', { name: 'Sites', exact: true }).click();
  await page.locator('a[href="/console/sites/git"]').click();
  await page.getByLabel('Name', { exact: true }).fill('Gitea at home');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('Saved.').waitFor();
  await page.getByRole('heading', { name: 'Gitea at home' }).waitFor();
  await page.getByLabel('Name', { exact: true }).fill('Gitea');
  await page.getByRole('button', { name: 'Save' }).click();
});

test('on a phone every button and figure of a row stands on the screen, and no plot runs out of its card', async (t) => {
  const context = await browser.newContext({ ...small, locale: 'zh-CN' });
  t.after(() => context.close());
  const page = await context.newPage();
  await comeIn(page, busy);
  for (const path of ['/console/people', '/console/sites', '/console/keys', await somebody(page, busy)]) {
    await page.goto(busy.console + path);
    for (const cell of await page.locator('.stacks :is(td, th, button):visible').all()) {
      const { x, width } = await cell.boundingBox();
      assert.ok(x >= 0 && x + width <= 360, `${path}: ${await cell.textContent()} ends at ${x + width}`);
    }
  }
  await page.goto(`${busy.console}/console`);
  for (const plot of await page.locator('.panel svg:visible').all()) {
    const { x, width } = await plot.boundingBox();
    assert.ok(x + width <= 360 - 2 * 16, `a plot ends at ${x + width}`);
  }
});

test('who is no owner is told so at the door', async (t) => {
  const context = await browser.newContext({ ...DESKTOP, locale: 'en-GB' });
  t.after(() => context.close());
  const page = await context.newPage();
  await page.goto(`${busy.console}/console/sign-in`);
  await inState(page, 'waiting');
  const phone = busy.phone('a stranger');
  const asked = await phone.scan(await readScene(page));
  await inState(page, 'scanned');
  await phone.approve(asked, { match: await page.locator('wechat-login [part=match]').textContent() });
  await page.getByText('This WeChat is not an owner’s and cannot open the console.').waitFor();
  assert.deepEqual(await seriousTroubles(page), []);
  await page.getByRole('button', { name: 'Try again' }).click();
  await inState(page, 'waiting');
  assert.equal(await page.locator('.reason:visible').count(), 0);
});
