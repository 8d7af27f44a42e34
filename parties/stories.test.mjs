// Relying parties that nobody here wrote, each told saoma's issuer, an id and a secret, and the same stories for all of them.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { AUTHLIB, OPENID_CLIENT, apache, below, page as pageSite, toml } from './sites.mjs';
import { World, freePort, inState } from './world.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const PYTHON = process.env.PARTIES_PYTHON ?? here('../target/parties/python/bin/python');

const [node, python, page, basic, post] = await Promise.all([freePort(), freePort(), freePort(), freePort(), freePort()]);
const openidClient = below(`http://node.localhost:${node}`, OPENID_CLIENT);
const authlib = below(`http://python.localhost:${python}`, AUTHLIB);
const apaches = apache(basic, post);
const alone = pageSite(page);

let world;
before(async () => {
  world = await World.start([...openidClient, ...authlib, ...apaches, alone].map(toml).join('\n'));
  const environment = (port, sites) => ({ env: { ISSUER: world.issuer, PORT: port, SITES: JSON.stringify(sites) } });
  await Promise.all([
    world.run(['node', here('node/site.js')], `http://127.0.0.1:${node}/${openidClient[0].id}/`, environment(node, openidClient)),
    world.run(['node', here('node/page.js')], `http://127.0.0.1:${page}/`, environment(page, [])),
    world.run([PYTHON, here('python/site.py')], `http://127.0.0.1:${python}/${authlib[0].id}/`, environment(python, authlib)),
    startApache(),
  ]).catch(async (error) => {
    await world.stop();
    throw error;
  });
});
after(() => world?.stop());

/** Apache's workers are www-data where root starts it, so its room must let others in; saoma's database is beside it, and does not. */
async function startApache() {
  const room = join(world.folder, 'apache');
  mkdirSync(room);
  cpSync(here('apache/pages'), join(room, 'pages'), { recursive: true });
  chmodSync(world.folder, 0o711);
  await world.run(['/usr/sbin/apache2', '-f', here('apache/httpd.conf'), '-DFOREGROUND'], `http://127.0.0.1:${basic}/bye.html`, { env: {
    ISSUER: world.issuer, ROOM: room, MODULES: '/usr/lib/apache2/modules', BASIC_PORT: basic, POST_PORT: post, SECRET: apaches[0].secret,
    PASSPHRASE: randomBytes(32).toString('hex'),
  } }).catch((error) => {
    const log = join(room, 'error.log');
    throw new Error(`${error.message}\n${existsSync(log) ? readFileSync(log, 'utf8') : ''}`);
  });
}

const json = async (at, selector) => JSON.parse(await at.locator(selector).textContent());

/** How the two libraries' sites are used: both have the same addresses. */
const SITE = {
  begin: (at, site, asked = '') => at.goto(`${site.base}/sign-in${asked}`),
  me: (at) => json(at, '#me'),
  refused: (at) => json(at, '#refused'),
  nobody: async (at) => assert.match((await json(at, '#refused')).error, /login_required/),
  hearsNo: async (at) => assert.match((await json(at, '#refused')).error, /access_denied/),
  async refresh(at, site) {
    await at.goto(`${site.base}/refresh`);
    assert.deepEqual(await json(at, '#refreshed'), { same: true, rotated: true });
  },
  async revoke(at, site) {
    await at.goto(`${site.base}/revoke`);
    assert.deepEqual(await json(at, '#revoked'), { active: false, refused: 401 });
  },
  async signOut(at, site) {
    await at.goto(`${site.base}/sign-out`);
    assert.equal((await json(at, '#bye')).state, 'gone');
  },
};

/** mod_auth_openidc guards everything, and speaks by its redirect address. */
const APACHE = {
  begin: (at, site, asked) => asked
    // Only a sign-in that others begin can be told more (OIDC Core 4).
    ? at.goto(`${site.base}/callback?${new URLSearchParams({ iss: world.issuer, target_link_uri: `${site.base}/`, auth_request_params: asked.slice(1) })}`)
    : at.goto(`${site.base}/`),
  async me(at, site) {
    const user = await at.locator('#user').textContent();
    const { id_token, userinfo, access_token } = await this.info(at);
    assert.equal(user, id_token.sub);
    // The token that the site has opens the API beside it.
    const api = await fetch(`${site.base.replace('apache.localhost', '127.0.0.1')}/api/`, { headers: { authorization: `Bearer ${access_token}` } });
    assert.match(await api.text(), new RegExp(id_token.sub), `${api.status}`);
    return { claims: id_token, userinfo };
  },
  async info(at) {
    const { status, body } = await this.ask(at);
    assert.equal(status, 200);
    return JSON.parse(body);
  },
  ask: (at) => at.evaluate(async () => {
    const answer = await fetch('/callback?info=json');
    return { status: answer.status, body: await answer.text() };
  }),
  // It takes an error that comes with iss in a query for a wish to begin anew, whoever sends it; a posted one it shows.
  error: async (at, site, error) => {
    if (site.mode === 'query') return inState(at, 'waiting');
    await at.getByText('OpenID Connect Provider error').waitFor();
    assert.match(await at.locator('body').innerText(), error);
  },
  nobody: (at, site) => APACHE.error(at, site, /login_required|nobody is signed in/),
  hearsNo: (at, site) => APACHE.error(at, site, /access_denied|the person said no/),
  /** What it says to people is little; its log says why. */
  async refused(at) {
    await at.getByText('Error in handling response type').waitFor();
    return { error: readFileSync(join(world.folder, 'apache/error.log'), 'utf8').trimEnd().split('\n').slice(-6).join('\n') };
  },
  async refresh(at, site) {
    const before = await this.info(at);
    await at.goto(`${site.base}/callback?${new URLSearchParams({ refresh: `${site.base}/`, access_token: before.access_token })}`);
    assert.equal(at.url(), `${site.base}/`);
    const after = await this.info(at);
    assert.notEqual(after.access_token, before.access_token);
    assert.equal(after.userinfo.sub, before.userinfo.sub);
  },
  async signOut(at, site) {
    await at.goto(`${site.base}/callback?${new URLSearchParams({ logout: `${site.base}/bye.html` })}`);
    await at.locator('#bye').waitFor();
  },
};

const arrived = (at, site) => at.waitForURL(`${site.base}/`);
const forgetSite = (at, { base }) => at.context().clearCookies({ domain: new URL(base).hostname });

/** Signs in up to the answer, which is kept from the site. */
async function held(t, site, way) {
  const at = await world.page(t);
  await at.route(`${site.base}/callback?*`, (route) => route.fulfill({ body: 'held' }));
  await way.begin(at, site);
  await world.scan(at, 'xiaoming');
  const answer = new URL(at.url());
  await at.unroute(`${site.base}/callback?*`);
  return { at, answer };
}

// Two at a time: most of it is waiting.
describe('relying parties', { concurrency: 2 }, () => {
  for (const [library, sites, way] of [['openid-client', openidClient, SITE], ['Authlib', authlib, SITE], ['mod_auth_openidc', apaches, APACHE]]) {
    describe(library, () => {
      for (const site of sites) {
        test(`${site.id}: signs in, knows the person, renews, is remembered, and signs out`, async (t) => {
          const at = await world.page(t);
          await way.begin(at, site);
          await world.scan(at, 'xiaoming', { remember: true });
          await arrived(at, site);
          const { claims, userinfo, alg, introspected } = await way.me(at, site);
          assert.equal(claims.iss, world.issuer);
          assert.deepEqual([claims.aud].flat(), [site.id]);
          assert.equal(claims.acr, 'urn:saoma:scan');
          assert.equal(userinfo.sub, claims.sub);
          assert.ok(userinfo.name && userinfo.preferred_username);
          assert.equal(userinfo.email, `${userinfo.preferred_username}@users.example.com`);
          if (alg) assert.equal(alg, site.alg);
          if (introspected) assert.deepEqual([introspected.active, introspected.sub, introspected.client_id], [true, claims.sub, site.id]);
          await way.refresh(at, site);

          await forgetSite(at, site);
          await way.begin(at, site);
          await arrived(at, site);
          const again = await way.me(at, site);
          assert.deepEqual([again.claims.sub, again.claims.acr], [claims.sub, '0'], 'the same person, without a scan');
          await way.revoke?.(at, site);

          await way.signOut(at, site);
          await way.begin(at, site);
          await inState(at, 'waiting');
        });

        test(`${site.id}: hears that the person said no, and that nobody is signed in`, async (t) => {
          const at = await world.page(t);
          await way.begin(at, site, '?prompt=none');
          await way.nobody(at, site);
          await way.begin(at, site);
          await world.scan(at, 'xiaohong', { decide: 'deny' });
          await way.hearsNo(at, site);
        });

        if (site.mode !== 'query') continue;
        test(`${site.id}: does not take what another browser was given`, async (t) => {
          const [{ answer }, { at, answer: own }] = [await held(t, site, way), await held(t, site, way)];
          own.searchParams.set('code', answer.searchParams.get('code'));
          await at.goto(own.href);
          assert.match((await way.refused(at)).error, site.pkce === 'required' ? /invalid_grant|token/ : /nonce|invalid_claim|JWT_CLAIM/i);
        });

        if (library === 'Authlib') continue; // It does not look at iss (RFC 9207).
        test(`${site.id}: does not take an answer in another issuer's name`, async (t) => {
          const { at, answer } = await held(t, site, way);
          assert.equal(answer.searchParams.get('iss'), world.issuer);
          answer.searchParams.set('iss', 'https://other.example.com');
          await at.goto(answer.href);
          assert.match(JSON.stringify(await way.refused(at)), /iss/i);
        });
      }
    });
  }

  test('what discovery offers is what these sites use, each way by at least one of them', async (t) => {
    const said = await (await fetch(`${world.issuer}/.well-known/openid-configuration`)).json();
    const used = (what) => [...new Set([...openidClient, ...authlib, alone].map(what))].sort();
    assert.deepEqual(said.id_token_signing_alg_values_supported.toSorted(), used(({ alg }) => alg));
    assert.deepEqual(said.response_modes_supported.toSorted(), used(({ mode }) => mode ?? 'query'));
    assert.deepEqual(said.token_endpoint_auth_methods_supported.toSorted(), used(({ auth }) => (auth ? `client_secret_${auth}` : 'none')));
  });

  test('mod_auth_openidc: a sign-in that is ended on the phone ends at the site', async (t) => {
    const [site] = apaches;
    const at = await world.page(t);
    await APACHE.begin(at, site);
    await world.scan(at, 'xiaogang');
    await arrived(at, site);
    await APACHE.me(at, site);
    await world.endLogins('xiaogang');
    for (const end = Date.now() + 10_000; (await APACHE.ask(at)).status === 200; await pause(100)) assert.ok(Date.now() < end, 'Apache was not told');
    await APACHE.begin(at, site);
    await inState(at, 'waiting');
  });

  describe('oidc-client-ts, in the page alone', () => {
    const begin = async (t, scope = 'openid profile') => {
      const at = await world.page(t);
      await at.goto(`${alone.base}/?${new URLSearchParams({ issuer: world.issuer, scope })}`);
      return at;
    };
    const me = (at) => json(at, '#me');
    const told = (at, text) => at.locator('#refused').filter({ hasText: text }).waitFor();
    const another = (at, token) => at.waitForFunction((token) => JSON.parse(me.textContent).token !== token, token);
    const signIn = async (at, options) => {
      await at.click('#redirect');
      await world.scan(at, 'xiaoming', options);
      await arrived(at, alone);
      return me(at);
    };

    test('signs in, renews by its refresh token, gives it back, and signs out', async (t) => {
      const at = await begin(t, 'openid profile offline_access');
      const { claims, token, scope } = await signIn(at);
      assert.ok(claims.sub && claims.name, 'what userinfo says is among the claims');
      assert.equal(scope, 'openid profile offline_access');
      await at.click('#silent');
      await another(at, token);
      assert.equal((await me(at)).claims.sub, claims.sub);
      await at.click('#revoke');
      await told(at, 'revoked');
      await at.click('#out');
      await arrived(at, alone);
      assert.equal(await at.locator('#me').textContent(), 'nobody');
    });

    test('renews in a hidden frame while the browser is remembered, and not after', async (t) => {
      const at = await begin(t);
      const { claims, token } = await signIn(at, { remember: true });
      await at.click('#silent');
      await another(at, token);
      assert.equal((await me(at)).claims.sub, claims.sub);
      await at.goto(`${world.issuer}/oauth2/logout`);
      await at.getByRole('button', { name: 'Sign out' }).click();
      await at.getByRole('heading', { name: 'Signed out' }).waitFor();
      await at.goto(alone.base);
      await at.click('#silent');
      await told(at, 'login_required');
    });

    test('signs in by a window of its own', async (t) => {
      const at = await begin(t);
      const [window] = await Promise.all([at.waitForEvent('popup'), at.click('#popup')]);
      await world.scan(window, 'xiaoming').catch((error) => assert.ok(window.isClosed(), error)); // It closes itself.
      await at.waitForFunction(() => me.textContent.startsWith('{'));
      assert.ok((await me(at)).claims.name);
    });

    test('hears that the person said no', async (t) => {
      const at = await begin(t);
      await at.click('#redirect');
      await world.scan(at, 'xiaohong', { decide: 'deny' });
      await told(at, 'access_denied');
    });
  });
});
