// A code of a short life, against saoma’s real clock.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { element, inState, launch, lookAgain, seriousTroubles, turnAway } from '../support/browser.js';
import { readScene, startWorld } from './world.js';

test('a code that ran out is renewed while the page is looked at, and only then; the old one is dead', async (t) => {
  const [browser, world] = await Promise.all([launch(), startWorld({ settings: '[limits]\noff = true', tables: '[ticket]\nlife = "6s"' })]);
  t.after(async () => {
    await browser.close();
    await world.stop();
  });
  const page = await browser.newPage({ locale: 'en-GB' });
  await page.goto(`${world.site.origin}/sign-in`);
  await inState(page, 'waiting');
  const phone = world.phone('xiaoming');
  const [scene, ticket] = [await readScene(page), await element(page).getAttribute('ticket')];
  await page.waitForFunction((old) => document.querySelector('wechat-login').getAttribute('ticket') !== old, ticket);
  await inState(page, 'waiting');
  const second = await readScene(page);
  assert.notEqual(second, scene);
  assert.equal((await phone.scan(scene)).status >= 400, true, 'a code that was renewed is dead');

  await turnAway(page);
  await page.locator('wechat-login[data-state=expired]').waitFor({ state: 'attached', timeout: 30_000 });
  assert.deepEqual(await seriousTroubles(page), []);
  assert.equal((await phone.scan(second)).code, 'ticket_expired');
  await lookAgain(page);
  await inState(page, 'waiting');
  const asked = await phone.scan(await readScene(page));
  assert.equal(asked.status, 200, JSON.stringify(asked));
  assert.equal((await phone.approve(asked)).state, 'approved');
  await page.waitForURL(`${world.site.origin}/me`);
});
