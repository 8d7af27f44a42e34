// Debian's Chromium, and the few things that every story does with it.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export const launch = () =>
  chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
      '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE *.localhost',
    ],
  });

export const PHONE = {
  viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true,
  userAgent: 'Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36',
};
export const WECHAT = { ...PHONE, userAgent: `${PHONE.userAgent} MicroMessenger/8.0.50` };
export const DESKTOP = { viewport: { width: 1280, height: 860 } };

// What the page complained of: a broken rule of its CSP, an exception, an error in the console that is no network trouble.
export function complaints(page) {
  const heard = [];
  page.on('pageerror', (error) => heard.push(`exception: ${error.message}`));
  page.on('console', (message) => {
    if (message.type() === 'error' && !/Failed to load resource|WebSocket connection to|net::ERR|EventSource/.test(message.text())) heard.push(message.text());
  });
  return heard;
}

export const element = (page) => page.locator('wechat-login');
export const status = (page) => page.locator('wechat-login [part=status]');
export const button = (page) => page.locator('wechat-login [part=refresh]');
export const inState = (page, state) => page.locator(`wechat-login[data-state=${state}]`).waitFor({ state: 'attached', timeout: 10_000 });

// Headless tabs are always visible: this is what a page sees when it is covered, and looked at again.
export const turnAway = (page) =>
  page.evaluate(() => {
    Object.defineProperty(document, 'hidden', { configurable: true, get: () => true });
    Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => 'hidden' });
    document.dispatchEvent(new Event('visibilitychange', { bubbles: true }));
  });
export const lookAgain = (page) =>
  page.evaluate(() => {
    delete document.hidden;
    delete document.visibilityState;
    document.dispatchEvent(new Event('visibilitychange', { bubbles: true }));
  });

// axe reads the page as a screen reader would; what it calls serious or critical fails. It is evaluated, so a strict CSP does not stop it.
export async function seriousTroubles(page) {
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ target, failureSummary }) => `${target.join(' ')} ${failureSummary}`).join('; ')}`);
}

// Keeps every event of the element in the page's `heard`, before the element's own module runs.
export const LISTEN = `<script>
  window.heard = [];
  for (const name of ['ready', 'scanned', 'approved', 'denied', 'expired', 'error'])
    document.addEventListener('saoma-' + name, (event) => heard.push({ name, detail: event.detail, composed: event.composed, cancelable: event.cancelable }));
</script>`;
export const heard = (page) => page.evaluate(() => window.heard);
