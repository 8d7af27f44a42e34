// The element in somebody else's page: what a site sees, fills in and gets.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, beforeEach, test } from 'node:test';
import { LISTEN, PHONE, button, complaints, heard, inState, launch, status } from './support/browser.js';
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
  saoma.calls.length = saoma.failures.length = 0;
  site.headers = {};
  site.posts.length = 0;
  t.after(() => assert.deepEqual(wrong, []));
});

const CHALLENGE = 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM';
const write = (attributes = '', around = (inner) => inner) =>
  (site.pages['/'] = `<!doctype html><html lang="en"><meta charset="utf-8"><title>A blog</title>${LISTEN}
    <script type="module" src="${saoma.origin}/wechat-login.js"></script>
    <main><h1>A blog</h1>${around(`<wechat-login client-id="blog" redirect-uri="${site.origin}/callback" ${attributes}></wechat-login>`)}</main></html>`);
const visit = async (attributes, around) => {
  write(attributes, around);
  site.pages['/callback'] = '<!doctype html><html lang="en"><title>Back</title>';
  await page.goto(site.origin);
};
const names = async () => (await heard(page)).map(({ name }) => name);

test('a site whose server redeems: scan, approve, and the browser is at the redirect URI', async () => {
  await visit(`code-challenge="${CHALLENGE}" state="from-the-server" nonce="n-1" scope="openid profile"`);
  await inState(page, 'waiting');
  assert.deepEqual(saoma.opened, {
    client_id: 'blog', redirect_uri: `${site.origin}/callback`, scope: 'openid profile', state: 'from-the-server', nonce: 'n-1',
    code_challenge: CHALLENGE, code_challenge_method: 'S256',
  });
  assert.equal(await status(page).textContent(), 'Scan with WeChat');
  saoma.last.scan();
  await inState(page, 'scanned');
  assert.equal(await status(page).textContent(), 'Scanned. Confirm on your phone');
  const ticket = saoma.last;
  ticket.approve();
  await page.waitForURL('**/callback?**');
  assert.deepEqual(Object.fromEntries(new URL(page.url()).searchParams), { code: ticket.code, state: 'from-the-server', iss: saoma.origin });
});

test('a page that redeems by itself gets the verifier of its challenge, and is not taken away', async () => {
  await visit();
  await inState(page, 'waiting');
  saoma.last.approve();
  await page.waitForFunction(() => heard.some(({ name }) => name === 'approved'));
  const { detail } = (await heard(page)).at(-1);
  assert.equal(createHash('sha256').update(detail.code_verifier).digest('base64url'), saoma.opened.code_challenge);
  assert.match(detail.code_verifier, /^[A-Za-z0-9._~-]{43,128}$/, 'RFC 7636 4.1');
  assert.equal(detail.code, saoma.last.code);
  assert.equal(detail.iss, saoma.origin);
  assert.ok(detail.state.length >= 32);
  assert.equal(detail.state, saoma.opened.state);
  assert.equal(page.url(), `${site.origin}/`);
  assert.ok(!detail.redirect_to.includes(detail.code_verifier));
});

test('every event bubbles out of the shadow, in the order of what happened, and none carries the key', async () => {
  await visit();
  await inState(page, 'waiting');
  const { key } = saoma.last;
  saoma.last.scan({ match: '07' });
  await inState(page, 'scanned');
  assert.equal(await status(page).textContent(), 'Type 07 on your phone');
  saoma.last.approve();
  await page.waitForFunction(() => heard.some(({ name }) => name === 'approved'));
  const events = await heard(page);
  assert.deepEqual(events.map(({ name }) => name), ['ready', 'scanned', 'approved']);
  assert.ok(events.every(({ composed }) => composed));
  assert.equal(events[1].detail.match, '07');
  assert.equal(events[1].detail.person, undefined, 'who scans is not for embedding sites');
  assert.ok(!JSON.stringify(events).includes(key));
});

test('in a form the element is the fields code, state and iss, and stays', async () => {
  await visit(`code-challenge="${CHALLENGE}" state="S1"`, (element) => `<form method="post" action="/signup"><label>Name <input name="name" value="Li"></label>${element}<button>Sign up</button></form>`);
  site.pages['/signup'] = '<!doctype html><html lang="en"><title>Done</title>';
  await inState(page, 'waiting');
  saoma.last.approve();
  await page.waitForFunction(() => heard.some(({ name }) => name === 'approved'));
  assert.equal(page.url(), `${site.origin}/`);
  await page.getByRole('button', { name: 'Sign up' }).click();
  await page.waitForURL('**/signup');
  assert.deepEqual(site.posts, [{ path: '/signup', fields: { name: 'Li', code: saoma.last.code, state: 'S1', iss: saoma.origin } }]);
});

test('no verifier is ever in a form', async () => {
  await visit('', (element) => `<form method="post" action="/signup">${element}<button>Sign up</button></form>`);
  await inState(page, 'waiting');
  saoma.last.approve();
  await page.waitForFunction(() => heard.some(({ name }) => name === 'approved'));
  assert.deepEqual(await page.evaluate(() => [...new FormData(document.forms[0]).keys()]), ['code', 'state', 'iss']);
});

test('preventDefault on saoma-approved keeps the page where it is', async () => {
  await visit(`code-challenge="${CHALLENGE}"`);
  await inState(page, 'waiting');
  await page.evaluate(() => document.addEventListener('saoma-approved', (event) => event.preventDefault()));
  saoma.last.approve();
  await page.waitForFunction(() => heard.some(({ name }) => name === 'approved'));
  assert.equal(page.url(), `${site.origin}/`);
});

test('declined on the phone: the person may try again, with a fresh ticket', async () => {
  await visit();
  await inState(page, 'waiting');
  const first = saoma.last;
  first.scan();
  await inState(page, 'scanned');
  first.deny();
  await inState(page, 'denied');
  assert.equal(await status(page).textContent(), 'Not confirmed on your phone');
  await button(page).click();
  await inState(page, 'waiting');
  assert.notEqual(saoma.last.id, first.id);
  assert.deepEqual(await names(), ['ready', 'scanned', 'denied', 'ready']);
});

test('not you? the scanned ticket is given up before another one is shown', async () => {
  await visit();
  await inState(page, 'waiting');
  const first = saoma.last;
  first.scan();
  await inState(page, 'scanned');
  await button(page).click();
  await inState(page, 'waiting');
  await page.waitForFunction(() => heard.filter(({ name }) => name === 'ready').length === 2);
  assert.equal(saoma.find(first.id), undefined);
});

test('taken out of the page, the element lets its ticket go', async () => {
  await visit();
  await inState(page, 'waiting');
  const cancelled = page.waitForResponse(/cancel$/);
  await page.evaluate(() => document.querySelector('wechat-login').remove());
  await cancelled;
  assert.equal(saoma.tickets.has(saoma.last.id), false);
});

test('an origin that another site registered is told so, once, and can try again by hand', async () => {
  saoma.fail(/POST \/api\/tickets$/, 403, 1, {}, { code: 'origin_not_allowed', detail: 'This origin is not registered.' });
  await visit();
  await inState(page, 'error');
  assert.deepEqual((await heard(page)).map(({ name, detail }) => [name, detail]), [['error', { code: 'origin_not_allowed', detail: 'This origin is not registered.' }]]);
  assert.equal(await status(page).textContent(), 'Cannot sign in now');
  await button(page).click();
  await inState(page, 'waiting');
});

test('a CSP header hides nonce attributes from scripts; the request has it all the same', async () => {
  site.headers = { 'content-security-policy': `default-src 'none'; script-src 'unsafe-inline' ${saoma.origin}; img-src ${saoma.origin}; connect-src ${saoma.origin} ${saoma.origin.replace('http', 'ws')}` };
  await visit(`nonce="for-the-id-token" code-challenge="${CHALLENGE}"`);
  await inState(page, 'waiting');
  assert.equal(await page.evaluate(() => document.querySelector('wechat-login').getAttribute('nonce')), '');
  assert.equal(saoma.opened.nonce, 'for-the-id-token');
});

test('a site may demand trusted types and allow no inline style', async () => {
  site.headers = { 'content-security-policy': `default-src 'none'; require-trusted-types-for 'script'; script-src 'unsafe-inline' ${saoma.origin}; style-src 'none'; img-src ${saoma.origin}; connect-src ${saoma.origin} ${saoma.origin.replace('http', 'ws')}` };
  await visit();
  await inState(page, 'waiting');
  saoma.last.scan({ match: '31' });
  await inState(page, 'scanned');
  assert.equal(await page.locator('wechat-login [part=match]').evaluate((match) => getComputedStyle(match).fontSize), '56px');
});

test('the language is the page’s own, and the element’s attribute goes before it', async () => {
  await visit('lang="zh-CN"');
  await inState(page, 'waiting');
  assert.equal(await status(page).textContent(), '请用微信扫一扫');
});

test('two elements in a page are two tickets that do not know each other', async () => {
  await visit('', (element) => element + element);
  await page.waitForFunction(() => document.querySelectorAll('[data-state=waiting]').length === 2);
  const [first, second] = [...saoma.tickets.values()].slice(-2);
  second.scan();
  await page.waitForFunction(() => document.querySelectorAll('[data-state=scanned]').length === 1);
  assert.deepEqual([first.state, second.state], ['waiting', 'scanned']);
});

test('loaded twice, the module defines the element once', async () => {
  site.pages['/'] = `<!doctype html><html lang="en"><title>Twice</title><script type="module" src="${saoma.origin}/wechat-login.js"></script>
    <script type="module" src="${saoma.origin}/assets/wechat-login.js"></script><wechat-login client-id="blog" redirect-uri="${site.origin}/callback"></wechat-login>`;
  await page.goto(site.origin);
  await inState(page, 'waiting');
});

test('a script that builds the element by hand gets the same', async () => {
  site.pages['/'] = `<!doctype html><html lang="en"><title>By hand</title>${LISTEN}<script type="module">
    await import('${saoma.origin}/wechat-login.js');
    const element = document.createElement('wechat-login');
    element.setAttribute('client-id', 'blog');
    element.setAttribute('redirect-uri', '${site.origin}/callback');
    document.body.append(element);
  </script><body></body>`;
  await page.goto(site.origin);
  await inState(page, 'waiting');
});

test('a framework may set the attributes just after it put the element into the page', async () => {
  site.pages['/'] = `<!doctype html><html lang="en"><title>Late</title>${LISTEN}<script type="module">
    await import('${saoma.origin}/wechat-login.js');
    const element = document.body.appendChild(document.createElement('wechat-login'));
    for (const [name, value] of [['client-id', 'blog'], ['redirect-uri', '${site.origin}/callback'], ['code-challenge', '${CHALLENGE}'], ['state', 'late']]) element.setAttribute(name, value);
  </script><body></body>`;
  site.pages['/callback'] = '<!doctype html><html lang="en"><title>Back</title>';
  await page.goto(site.origin);
  await inState(page, 'waiting');
  assert.deepEqual([saoma.opened.client_id, saoma.opened.code_challenge, saoma.opened.state], ['blog', CHALLENGE, 'late']);
  saoma.last.approve();
  await page.waitForURL('**/callback?**');
});

test('put in and taken out at once, it opens nothing', async () => {
  site.pages['/'] = `<!doctype html><html lang="en"><title>In and out</title>${LISTEN}<script type="module">
    await import('${saoma.origin}/wechat-login.js');
    const element = document.createElement('wechat-login');
    document.body.append(element);
    element.remove();
    await fetch(location.href);
    document.body.append('over');
  </script><body></body>`;
  await page.goto(site.origin);
  await page.getByText('over').waitFor();
  assert.equal(saoma.count(/./), 1, 'the module itself');
});

test('on a phone the element hands over to the hosted page with the same request', async () => {
  const phone = await browser.newContext({ ...PHONE, locale: 'en-GB' });
  page = await phone.newPage();
  await visit(`code-challenge="${CHALLENGE}" state="S2" nonce="n-2" scope="openid profile"`);
  await inState(page, 'phone');
  const link = page.getByRole('link', { name: 'Sign in with WeChat' });
  const url = new URL(await link.getAttribute('href'));
  assert.equal(url.origin + url.pathname, `${saoma.origin}/oauth2/authorize`);
  assert.deepEqual(Object.fromEntries(url.searchParams), {
    response_type: 'code', client_id: 'blog', redirect_uri: `${site.origin}/callback`, scope: 'openid profile', state: 'S2', nonce: 'n-2',
    code_challenge: CHALLENGE, code_challenge_method: 'S256',
  });
  assert.equal(saoma.count(/POST \/api\/tickets$/), 0, 'a phone takes no code that nobody can scan');
  await link.tap();
  await page.waitForURL('**/oauth2/authorize?**');
  await inState(page, 'waiting');
  saoma.last.approve();
  await page.waitForURL('**/callback?**');
  assert.equal(new URL(page.url()).searchParams.get('code'), saoma.last.code);
  await phone.close();
});

test('on a phone a verifier made in the page waits in the tab for the page at the redirect URI', async () => {
  const phone = await browser.newContext({ ...PHONE, locale: 'en-GB' });
  page = await phone.newPage();
  await visit();
  await inState(page, 'phone');
  assert.equal(await page.evaluate(() => sessionStorage.length), 0, 'nothing is kept before the person goes');
  await page.getByRole('link', { name: 'Sign in with WeChat' }).tap();
  await page.waitForURL('**/oauth2/authorize?**');
  const challenge = new URL(page.url()).searchParams.get('code_challenge');
  await inState(page, 'waiting');
  saoma.last.approve();
  await page.waitForURL('**/callback?**');
  const state = new URL(page.url()).searchParams.get('state');
  const verifier = await page.evaluate((state) => sessionStorage.getItem(`saoma:${state}`), state);
  assert.equal(createHash('sha256').update(verifier).digest('base64url'), challenge);
  await phone.close();
});
