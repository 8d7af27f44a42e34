// Takes a picture of every page of the console with a busy month behind it, in both languages and themes, on a desktop and on a
// phone, into target/screenshots: `npm run look:console [part of a name]`. With `--docs` it makes the two in docs/images.

import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { startWorld } from './e2e/world.js';
import { DESKTOP, PHONE, launch } from './support/browser.js';
import { addKnown, comeIn, pages, somebody } from './support/console.js';

const docs = process.argv[2] === '--docs';
const only = docs ? '' : (process.argv[2] ?? '');
const folder = fileURLToPath(new URL(docs ? '../../docs/images/' : '../../target/screenshots/', import.meta.url));
mkdirSync(folder, { recursive: true });

const [browser, world] = await Promise.all([launch(), startWorld({ month: true })]);
for (const lang of ['zh', 'en']) {
  for (const [device, options] of Object.entries(docs ? { desktop: DESKTOP } : { desktop: DESKTOP, phone: PHONE })) {
    for (const colorScheme of docs ? ['light'] : ['light', 'dark']) {
      const name = (page) => (docs ? `console.${lang}` : `console-${device}-${page}-${lang}-${colorScheme}`);
      const context = await browser.newContext({ ...options, colorScheme, locale: lang === 'zh' ? 'zh-CN' : 'en-GB', timezoneId: 'Asia/Shanghai' });
      const page = await context.newPage();
      const shoot = (as) => page.screenshot({ path: `${folder}${name(as)}.png`, fullPage: !docs, animations: 'disabled' });
      if (!docs && name('sign-in').includes(only)) {
        await page.goto(`${world.console}/console/sign-in`);
        await page.locator('wechat-login img').first().evaluate((img) => img.decode());
        await shoot('sign-in');
      }
      await comeIn(page, world);
      const all = docs ? { overview: '/console' } : pages(await somebody(page, world));
      for (const [as, path] of Object.entries(all)) {
        if (!name(as).includes(only)) continue;
        await page.goto(world.console + path);
        await shoot(as);
      }
      for (const app of docs ? [] : ['gitea', 'grafana']) {
        if (!name(`pasted-${app}`).includes(only)) continue;
        await addKnown(page, world, app, `${app}-${lang}-${device}-${colorScheme}`);
        await shoot(`pasted-${app}`);
      }
      await context.close();
    }
  }
}
await browser.close();
await world.stop();
