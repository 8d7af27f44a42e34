// Every state in both languages and themes, on a desktop, on a phone and in WeChat's own browser: nothing serious for axe, nothing against the CSP,
// nothing wider than the screen. Pictures of the same for human eyes: `npm run look`.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { DESKTOP, PHONE, WECHAT, complaints, inState, launch, seriousTroubles, status } from './support/browser.js';
import { startSaoma } from './support/saoma.js';
import { startSite } from './support/site.js';
import { HOME, STATES } from './support/states.js';

let browser, saoma, site;

before(async () => {
  [browser, saoma, site] = await Promise.all([launch(), startSaoma(), startSite()]);
  saoma.origins.push(site.origin);
  saoma.pages = HOME;
});
after(async () => {
  await browser.close();
  await Promise.all([saoma.close(), site.close()]);
});

// Desktop and phone meet every theme and language; WeChat's browser differs from a phone in what it leaves out.
const WAYS = [
  ['desktop', DESKTOP, 'light', 'zh'],
  ['desktop', DESKTOP, 'dark', 'en'],
  ['phone', PHONE, 'light', 'en'],
  ['phone', PHONE, 'dark', 'zh'],
  ['wechat', WECHAT, 'dark', 'en'],
];

const small = { viewport: { width: 320, height: 568 } };
const fits = (page) => page.evaluate(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth);

for (const [device, options, colorScheme, lang] of WAYS) {
  test(`${device}, ${colorScheme}, ${lang}`, async (t) => {
    const context = await browser.newContext({ ...options, ...(device === 'desktop' ? {} : small), colorScheme, locale: lang === 'zh' ? 'zh-CN' : 'en-GB', reducedMotion: 'reduce' });
    t.after(() => context.close());
    for (const [name, bring] of Object.entries(STATES)) {
      await t.test(name, async () => {
        saoma.failures.length = 0;
        const page = await context.newPage();
        const wrong = complaints(page);
        await page.goto(saoma.authorize());
        await inState(page, 'waiting');
        await bring({ page, context, saoma });
        assert.deepEqual(await seriousTroubles(page), []);
        assert.ok(await fits(page), 'nothing is wider than the screen');
        const said = await status(page).textContent();
        assert.equal(/[\u4e00-\u9fff]/.test(said), lang === 'zh', said);
        assert.deepEqual(wrong, []);
        await context.setOffline(false);
        await page.close();
      });
    }
    for (const path of Object.keys(HOME)) {
      await t.test(path, async () => {
        const page = await context.newPage();
        const wrong = complaints(page);
        await page.route('**/form-post.js', (route) => route.fulfill({ contentType: 'text/javascript', body: '' })); // It would leave at once.
        await page.goto(saoma.origin + path);
        assert.deepEqual(await seriousTroubles(page), []);
        assert.ok(await fits(page), 'nothing is wider than the screen');
        assert.deepEqual(wrong, []);
        await page.close();
      });
    }
  });
}

for (const theme of ['light', 'dark']) {
  test(`inside a site, ${theme}`, async (t) => {
    const context = await browser.newContext({ locale: 'en-GB' });
    t.after(() => context.close());
    const colors = theme === 'dark' ? 'background:#101412;color:#eee' : 'background:#fff;color:#222';
    site.pages['/'] = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>A blog</title>
      <body style="${colors}"><script type="module" src="${saoma.origin}/wechat-login.js"></script>
      <main><h1>A blog</h1><wechat-login theme="${theme}" client-id="blog" redirect-uri="${site.origin}/callback"></wechat-login></main></body></html>`;
    for (const name of ['waiting', 'scanned', 'match', 'expired']) {
      await t.test(name, async () => {
        saoma.failures.length = 0;
        const page = await context.newPage();
        await page.goto(site.origin);
        await inState(page, 'waiting');
        if (name !== 'waiting') await STATES[name]({ page, context, saoma });
        assert.deepEqual(await seriousTroubles(page), []);
        await context.setOffline(false);
        await page.close();
      });
    }
    await t.test('on a phone', async () => {
      const phone = await browser.newContext(PHONE);
      const page = await phone.newPage();
      await page.goto(site.origin);
      await inState(page, 'phone');
      assert.deepEqual(await seriousTroubles(page), []);
      await phone.close();
    });
  });
}
