// Every page in every state, really rendered: both languages, both themes, ordinary and large type.
// axe finds nothing, nothing runs off the side, and a picture of each is left in target/screenshots/.
import assert from 'node:assert/strict'
import { mkdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { build } from '../harness/build.mjs'
import { launchChromium, Phone } from '../harness/phone.mjs'
import { words } from '../app/lib/words.ts'
import { PhoneServer } from './server.mjs'

const folder = process.env.SAOMA_MINIPROGRAM ?? fileURLToPath(new URL('../app', import.meta.url))
const pictures = fileURLToPath(new URL('../../target/screenshots/', import.meta.url))
const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** How each picture comes about; `t` is the words in the phone's language. */
const STATES = {
  home: async (phone, t) => {
    await phone.openHome()
    await phone.sees(t.home.steps)
  },
  'login-tap': async (phone, t, server) => {
    await phone.open({ scene: server.ticket({ page: { host: 'login.example.com' } }).scene })
    await phone.sees(t.login.question)
  },
  'login-number': async (phone, t, server) => {
    const why = ['long_press', 'other_region', 'new_browser']
    const browser = { name: 'Edge 151', os: 'Windows', region: '香港', known: false, same_network: false }
    await phone.open({ scene: server.ticket({ ask: 'match', risk: 'raised', why, browser, scopes: ['openid', 'profile', 'email', 'wechat'] }).scene, entry: 1048 })
    await phone.tap(t.login.approve)
    await phone.sees(t.failures.match_required.say)
  },
  'login-refused': async (phone, t, server) => {
    await phone.open({ scene: server.ticket({ ask: 'refuse', risk: 'raised', why: ['card', 'unheard_of'], site: { name: '很长的名字：青山绿水摄影爱好者协会会员中心', host: 'members.photography-society.example.org', logo: null }, page: { host: 'xn--fiqs8s-long-host-name.photography-society.example.org' } }).scene, entry: 1007 })
    await phone.sees(t.login.refusedTitle)
  },
  'login-device': async (phone, t, server) => {
    await phone.open({ scene: server.ticket({ kind: 'device', scopes: ['openid'], browser: { name: null, os: null, region: null, known: null, same_network: null }, age: 200, person: { nickname: '小安', avatar: null } }).scene })
    await phone.sees(t.login.deviceCode)
  },
  'login-device-done': async (phone, t, server) => {
    await phone.open({ scene: server.ticket({ kind: 'device', why: ['device', 'first_time'] }).scene })
    await phone.sees(t.login.ownDeviceOnly)
    await phone.tap(t.login.approve)
    await phone.sees(t.login.leave)
  },
  'login-on-phone': async (phone, t, server) => {
    await phone.open({ scene: server.ticket({ kind: 'on_phone', why: ['first_time', 'page_says_phone'] }).scene })
    await phone.sees(t.login.why.page_says_phone)
  },
  'login-no-answer': async (phone, t, server) => {
    await phone.open({ scene: server.ticket().scene })
    await phone.sees(t.login.question)
    phone.answersLost = true
    await phone.tap(t.login.approve)
    await phone.sees(t.failures.timeout.title)
    phone.answersLost = false
  },
  'login-looking': async (phone, t, server) => {
    const { jsCode } = phone
    phone.jsCode = () => new Promise(() => {})
    await phone.open({ scene: server.ticket().scene })
    await phone.page.evaluate(() => document.getAnimations().forEach((some) => some.effect.getComputedTiming().iterations === 1 && some.finish()))
    await phone.page.getByRole('button', { name: t.login.home }).waitFor()
    phone.jsCode = jsCode
  },
  'login-wrong-digits': async (phone, t) => {
    await phone.openHome()
    await phone.page.getByLabel(t.home.digitsLabel).fill('1234 5678')
    await phone.tap(t.home.digitsGo)
    await phone.sees(t.failures.wrong_digits.say)
  },
  'login-ask-owner': async (phone, t, server) => {
    const say = t.language === 'zh' ? '站长还没有让你登录这个网站。点“确认登录”会去问站长；等站长同意以后，再登录一次。' : 'The owner of this site has to let you in first. Confirming asks them; once they have said yes, sign in again.'
    await phone.open({ scene: server.ticket({ admission: 'ask', say }).scene })
    await phone.sees(say)
  },
  'login-owner-asked': async (phone, t, server) => {
    await phone.open({ scene: server.ticket({ admission: 'ask' }).scene })
    await phone.tap(t.login.approve)
    await phone.sees(t.failures.owner_asked.title)
    await phone.sees('uxwwzh2z8p7')
  },
  'login-done': async (phone, t, server) => {
    await phone.open({ scene: server.ticket().scene })
    await phone.tap(t.login.approve)
    await phone.sees(t.login.done)
  },
  'login-denied': async (phone, t, server) => {
    await phone.open({ scene: server.ticket().scene })
    await phone.tap(t.login.deny)
    await phone.sees(t.login.deniedBody.slice(0, 6))
  },
  'login-failed': async (phone, t, server) => {
    phone.trouble = { errno: 600002, errMsg: 'request:fail url not in domain list' }
    await phone.open({ scene: server.ticket().scene })
    await phone.sees(t.failures.domain_not_listed.title)
    phone.trouble = undefined
  },
  'logins-guest': async (phone, t) => {
    await phone.open({ path: 'pages/logins/logins', query: {}, entry: 1001 })
    await phone.sees(t.logins.guestHow)
  },
  logins: async (phone, t) => {
    await phone.open({ path: 'pages/logins/logins', query: {}, entry: 1001 })
    await phone.tap(t.logins.show)
    await phone.sees(t.logins.endAll)
  },
  me: async (phone, t) => {
    await phone.open({ path: 'pages/me/me', query: {}, entry: 1001 })
    await phone.tap(t.me.show)
    await phone.tap(t.me.export)
    await phone.sees(t.me.exportHint)
  },
  'me-owner': async (phone, t, server) => {
    server.owner = 'anna'
    const site = { id: 'study', name: '很长的名字：青山绿水摄影爱好者协会会员中心', host: 'study.example.com' }
    const browser = { name: 'Firefox', os: 'Windows 10', region: null }
    server.asks = [
      { person: { name: 'uxwwzh2z8p7', nickname: null, avatar: null }, site, browser, at: 1795086400 },
      { person: { name: 'u7k2m3n4p5q', nickname: '一个名字很长很长很长的人', avatar: null }, site, browser, at: 1795000000 },
    ]
    await phone.open({ path: 'pages/me/me', query: {}, entry: 1001 })
    await phone.tap(t.me.show)
    await phone.sees('u7k2m3n4p5q')
    server.owner = undefined
  },
  about: async (phone, t) => {
    await phone.open({ path: 'pages/about/about', query: {}, entry: 1001 })
    await phone.sees(t.about.privacyTitle)
  },
}

const LOOKS = [
  { name: 'zh-light', language: 'zh_CN', theme: 'light' },
  { name: 'zh-dark', language: 'zh_CN', theme: 'dark' },
  { name: 'en-light', language: 'en', theme: 'light' },
  { name: 'en-dark', language: 'en', theme: 'dark' },
  { name: 'zh-large', language: 'zh_CN', theme: 'light', type: 1.6, width: 360, height: 760 },
  { name: 'en-small-phone-large', language: 'en', theme: 'dark', type: 1.4, width: 320, height: 568 },
]

describe('every page, looked at', () => {
  let browser, mini, server

  before(async () => {
    ;[browser, mini, server] = await Promise.all([launchChromium(), build(folder), PhoneServer.start()])
    server.login('anna')
    server.login('anna', { site: { id: 'wiki', name: 'Family wiki', host: 'wiki.example.org' }, browser: { name: 'Safari', os: 'macOS', region: null } })
    const attempt = { person: 'anna', site: { name: 'My blog', host: 'blog.example.com' }, browser: { name: 'Chrome 152', os: 'macOS', region: '上海' }, at: 1795086400 }
    for (const [i, outcome] of ['approved', 'denied', 'wrong_match', 'refused', 'expired'].entries()) server.attempts.push({ ...attempt, id: `a${i}`, outcome })
    server.consents.set('anna', [{ site: { id: 'blog', name: 'My blog', host: 'blog.example.com' }, scopes: ['openid', 'profile', 'email'], since: 1795000000 }])
    await mkdir(pictures, { recursive: true })
  })
  after(async () => {
    await browser.close()
    await server.stop()
  })

  for (const { name, ...look } of LOOKS) {
    test(name, async (t) => {
      const phone = await Phone.on(browser, mini, { server: server.url, ...look })
      const said = words[look.language.startsWith('zh') ? 'zh' : 'en']
      for (const [state, reach] of Object.entries(STATES)) {
        await t.test(state, async () => {
          await reach(phone, said, server)
          if (state.startsWith('login-') && await phone.page.getByRole('button', { name: said.login.approve, exact: true }).count() > 0) {
            await answersAreAlike(phone, said)
          }
          await phone.page.screenshot({ path: `${pictures}${name}-${state}.png` })
          const { wide, small } = await phone.page.evaluate(() => ({
            wide: document.scrollingElement.scrollWidth - innerWidth,
            small: [...document.querySelectorAll('main button')].filter((b) => b.getBoundingClientRect().height < 44).map((b) => b.textContent),
          }))
          assert.ok(wide <= 0, `runs ${wide} px off the side`)
          assert.deepEqual(small, [], 'buttons too small for a finger')
          await phone.page.evaluate(axe)
          const { violations } = await phone.page.evaluate(() => globalThis.axe.run(document, { rules: { 'page-has-heading-one': { enabled: false } } }))
          assert.deepEqual(violations.map((v) => `${v.id}: ${v.nodes.map((node) => `${node.html} ${node.any[0]?.message ?? ''}`).join('\n')}`), [])
        })
      }
      await phone.close()
    })
  }
})

/** Both answers the same size, side by side or one above the other, and on the screen without scrolling. */
async function answersAreAlike(phone, said) {
  const [yes, no] = await Promise.all([said.login.approve, said.login.deny].map((name) => phone.page.getByRole('button', { name, exact: true }).boundingBox()))
  assert.ok(Math.abs(yes.width - no.width) < 1 && Math.abs(yes.height - no.height) < 1, 'yes and no differ in size')
  for (const box of [yes, no]) assert.ok(box.y >= 0 && box.y + box.height <= phone.page.viewportSize().height, 'an answer is out of reach')
}
