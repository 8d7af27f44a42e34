// Makes the pictures of the phone in docs/images: home, a question and a yes, in both languages: `npm run look`.
// All of them, in both themes and in large type, are left in target/screenshots/ by pages.test.mjs.
import { fileURLToPath } from 'node:url'
import { words } from '../app/lib/words.ts'
import { build } from '../harness/build.mjs'
import { launchChromium, Phone } from '../harness/phone.mjs'
import { PhoneServer } from './server.mjs'

const here = (path) => fileURLToPath(new URL(path, import.meta.url))
const [browser, mini, server] = await Promise.all([launchChromium(), build(here('../app')), PhoneServer.start()])
for (const t of Object.values(words)) {
  const phone = await Phone.on(browser, mini, { server: server.url, language: t.language, height: 640 })
  // Half of the pixels are enough for a picture that stands beside others.
  const shoot = (name) => phone.page.screenshot({ path: here(`../../docs/images/phone-${name}.${t.language}.png`), scale: 'css', animations: 'disabled' })
  await phone.openHome()
  await phone.sees(t.home.steps)
  await shoot('home')
  await phone.open({ scene: server.ticket({ scopes: ['openid'] }).scene })
  await phone.sees(t.login.question)
  await shoot('login')
  await phone.tap(t.login.approve)
  await phone.sees(t.login.done)
  await shoot('done')
  await phone.close()
}
await browser.close()
await server.stop()
