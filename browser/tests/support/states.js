// How a page comes into each state that it can show, and the pages that have no states.

import { button, inState } from './browser.js';

export const STATES = {
  async waiting({ page }) {
    await page.locator('wechat-login img').first().evaluate((img) => img.decode());
    if (await page.locator('.digits[data-now]').count()) await page.locator('output').filter({ hasText: /\d/ }).waitFor();
  },
  async digits({ page }) {
    const ask = page.locator('[data-ask]');
    if (await ask.count()) await ask.click();
    if (await page.locator('.digits').count()) await page.locator('output').filter({ hasText: /\d/ }).waitFor();
  },
  async scanned({ page, saoma }) {
    saoma.last.scan();
    await inState(page, 'scanned');
  },
  async match({ page, saoma }) {
    saoma.last.scan({ match: '42', person: { nickname: '一个名字很长很长很长的人 with a long name', avatar: null } });
    await inState(page, 'scanned');
  },
  async approved({ page, saoma }) {
    saoma.fail(/claim$/, 409, 100, {}, { code: 'not_decided' });
    await page.route('**/claim', () => {}); // Never answered: the page stays where we want to look at it.
    saoma.last.approve();
    await inState(page, 'approved');
  },
  async denied({ page, saoma }) {
    saoma.last.deny();
    await inState(page, 'denied');
  },
  async owner_asked({ page, saoma }) {
    saoma.last.deny('owner_asked');
    await page.locator('[data-reason=owner_asked]').waitFor();
  },
  async not_admitted({ page, saoma }) {
    saoma.last.deny('not_admitted');
    await page.locator('[data-reason=not_admitted]').waitFor();
  },
  async expired({ page, saoma }) {
    await page.locator('wechat-login').evaluate((element) => element.setAttribute('auto-refresh', 'false'));
    saoma.last.expire();
    await inState(page, 'expired');
  },
  async offline({ page, context }) {
    await context.setOffline(true);
    await inState(page, 'offline');
  },
  async taken({ page, saoma }) {
    saoma.last.wire.close(4001);
    await inState(page, 'taken');
  },
  async error({ page, saoma }) {
    await page.locator('wechat-login').evaluate((element) => element.setAttribute('auto-refresh', 'false'));
    saoma.last.expire();
    await inState(page, 'expired');
    saoma.fail(/renew$/, 403, 1, {}, { code: 'origin_not_allowed', detail: 'no' });
    await button(page).click();
    await inState(page, 'error');
  },
};

const login = (id, more) => ({ id, site: { name: '小站 My blog', host: 'blog.example.com' }, browser: 'Chrome 131 · Windows', since: { at: '2026-11-02T12:15:00Z', said: '2026-11-02 12:15 UTC' }, last_seen: { at: '2026-11-03T01:40:00Z', said: '2026-11-03 01:40 UTC' }, this: false, ...more });

const knows = (name, host, ...what) => ({ site: { name, host }, what });
const me = (more) => ({ username: 'uxz9utnu5qy', since: { at: '2026-10-01T02:03:00Z', said: '2026-10-01 02:03 UTC' }, knowing: [], ...more });

export const HOME = {
  '/home-out': { template: 'home.html', values: { server_name: 'login.example.com', person: null, logins: [] } },
  '/home': {
    template: 'home.html',
    values: {
      server_name: 'login.example.com',
      person: me({ nickname: '小明', avatar: '/avatar.png', knowing: [knows('小站 My blog', 'blog.example.com', '昵称、头像、用户名和组', '微信标识'), knows('Gitea', 'git.a-rather-long-name.example.org')] }),
      logins: [login('a', { this: true }), login('b', { site: { name: 'Gitea', host: 'git.a-rather-long-name.example.org' }, browser: 'Firefox 145 · Linux' }), login('c', { site: { name: '<b>论坛</b> & friends', host: 'blog.example.com' }, browser: 'Safari · iPhone' })],
    },
  },
  '/home-alone': { template: 'home.html', values: { server_name: 'login.example.com', person: me({ nickname: '访客 uxz9utnu5qy', avatar: null }), logins: [] } },
  '/error': { template: 'error.html', values: { title: 'This address is not registered', detail: 'The site sent a redirect_uri that saoma does not know: https://blog.example.com/callbak', code: 'invalid_redirect_uri', hint: 'If this is your site: add the address to redirect_uris of [[site]] id = "blog".' } },
  '/error-again': { template: 'error.html', values: { title: 'Cannot sign in', detail: 'That was too often. Try again a little later.', code: 'too_many_requests', again: true } },
  '/error-owner': { template: 'error.html', values: { title: '无法登录', detail: '没有这个 client_id 的站点。请检查站点设置。', code: 'unknown_site', for_owner: true } },
  '/no-page': { template: 'error.html', values: { title: 'There is no such page', detail: 'There is nothing at this address.', code: 'not_found', home: true } },
  '/device': { template: 'device.html', values: { server_name: 'login.example.com', miniprogram: '青山登录' } },
  '/signed-out': { template: 'logout.html', values: { server_name: 'login.example.com', done: true } },
  '/link': { template: 'link.html', values: { server_name: 'login.example.com' } },
  '/let-in': { template: 'let_in.html', values: { site_name: '小站 My blog', site_host: 'blog.example.com', site_url: 'https://blog.example.com' } },
  '/application': { template: 'application.html', values: { site: '小站 My blog', detail: 'This sign-in was not confirmed on the phone.', again: '/notes?page=2' } },
  '/application-sign-out': { template: 'application_sign_out.html', values: { site: '一个名字很长很长很长的站点 with a long name' } },
  '/form-post': { template: 'form_post.html', values: { action: '/nowhere', approved: true, fields: [] } },
};
