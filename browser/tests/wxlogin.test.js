// A site that had WeChat's own website sign-in and changed its script tag.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { complaints, inState, launch } from './support/browser.js';
import { startSaoma } from './support/saoma.js';
import { startSite } from './support/site.js';

let browser, saoma, site, context, page, wrong;

before(async () => {
  [browser, saoma, site] = await Promise.all([launch(), startSaoma(), startSite()]);
  saoma.origins.push(site.origin);
});
after(async () => {
  await browser.close();
  await Promise.all([saoma.close(), site.close()]);
});
beforeEach(async (t) => {
  await context?.close();
  context = await browser.newContext({ locale: 'en-GB' });
  page = await context.newPage();
  wrong = complaints(page);
  site.pages['/callback'] = '<!doctype html><html lang="en"><title>Back</title>';
  t.after(() => assert.deepEqual(wrong, []));
});

const CHALLENGE = 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM';
// As sites write it: the address encoded, WeChat's own scope, an id of the page.
const visit = async (more = {}) => {
  const given = { id: 'login', appid: 'blog', scope: 'snsapi_login', redirect_uri: encodeURIComponent(`${site.origin}/callback`), state: 'S1', ...more };
  site.pages['/'] = `<!doctype html><html lang="en"><meta charset="utf-8"><title>A blog</title><main><h1>A blog</h1><div id="login"></div></main>
    <script src="${saoma.origin}/wxLogin.js"></script><script>window.ready = []; new WxLogin(Object.assign(${JSON.stringify(given)}, { onReady: (is) => ready.push(is), onQRcodeReady: (...told) => ready.push(told) }))</script></html>`;
  await page.goto(site.origin);
};

test('with a challenge of the server the code stands in the page, and the browser goes to the redirect URI', async () => {
  await visit({ code_challenge: CHALLENGE, style: 'white' });
  await inState(page, 'waiting');
  assert.deepEqual(saoma.opened, {
    client_id: 'blog', redirect_uri: `${site.origin}/callback`, scope: 'openid', state: 'S1', code_challenge: CHALLENGE, code_challenge_method: 'S256',
  });
  assert.equal(await page.locator('#login wechat-login').getAttribute('theme'), 'dark');
  assert.deepEqual(await page.evaluate('ready'), [true, []], 'as WeChat calls them');
  saoma.last.approve();
  await page.waitForURL('**/callback?**');
  assert.equal(new URL(page.url()).searchParams.get('code'), saoma.last.code);
});

test('where there can be no code the page is told so', async () => {
  saoma.fail(/POST \/api\/tickets$/, 403, 1, {}, { code: 'origin_not_allowed', detail: 'This origin is not registered.' });
  await visit({ code_challenge: CHALLENGE });
  await inState(page, 'error');
  assert.deepEqual(await page.evaluate('ready'), [false]);
});

test('self_redirect goes to the redirect URI in a frame, and the page stays', async () => {
  await visit({ code_challenge: CHALLENGE, self_redirect: true });
  await inState(page, 'waiting');
  saoma.last.approve();
  const frame = page.frameLocator('#login iframe');
  await frame.locator('html').waitFor();
  assert.equal(page.url(), `${site.origin}/`);
  const src = await page.locator('#login iframe').getAttribute('src');
  assert.equal(new URL(src).searchParams.get('state'), 'S1');
});

test('without a challenge there is a link to the hosted page, and no code is made in the page', async () => {
  const before = saoma.tickets.size;
  await visit();
  const link = page.getByRole('link', { name: 'Sign in with WeChat' });
  const to = new URL(await link.getAttribute('href'));
  assert.equal(to.origin + to.pathname, `${saoma.origin}/oauth2/authorize`);
  assert.deepEqual(Object.fromEntries(to.searchParams), {
    response_type: 'code', client_id: 'blog', redirect_uri: `${site.origin}/callback`, scope: 'openid', state: 'S1',
  });
  assert.equal(saoma.tickets.size, before);
});
