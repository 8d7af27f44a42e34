// Takes a picture of every state in both languages and themes, on a desktop and on a phone, into target/screenshots: `npm run look [part of a name]`.

import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { DESKTOP, PHONE, WECHAT, inState, launch } from './support/browser.js';
import { HOME, STATES } from './support/states.js';
import { startSaoma } from './support/saoma.js';

const only = process.argv[2] ?? '';
const folder = fileURLToPath(new URL('../../target/screenshots/', import.meta.url));
mkdirSync(folder, { recursive: true });

const saoma = await startSaoma();
const browser = await launch();

for (const [device, options] of Object.entries({ desktop: DESKTOP, phone: PHONE, wechat: WECHAT })) {
  for (const lang of ['zh', 'en']) {
    for (const colorScheme of ['light', 'dark']) {
      const shoot = async (name, open) => {
        const file = `${device}-${name}-${lang}-${colorScheme}`;
        if (!file.includes(only)) return;
        const context = await browser.newContext({ ...options, colorScheme, locale: lang === 'zh' ? 'zh-CN' : 'en-GB' });
        const page = await context.newPage();
        await open(page, context);
        await page.screenshot({ path: `${folder}${file}.png`, animations: 'disabled' });
        await context.close();
      };
      for (const [name, bring] of Object.entries(STATES)) {
        await shoot(name, async (page, context) => {
          saoma.failures.length = 0;
          await page.goto(saoma.authorize());
          await inState(page, 'waiting');
          await bring({ page, context, saoma });
        });
      }
      saoma.pages = HOME;
      for (const path of Object.keys(HOME)) {
        await shoot(`page${path.replace('/', '-')}`, async (page) => {
          await page.route('**/form-post.js', (route) => route.abort()); // It would leave at once.
          await page.goto(saoma.origin + path);
        });
      }
    }
  }
}
await browser.close();
await saoma.close();
