// A phone to hold: the real mini program in Chromium, its network and WeChat's answers in the hands of a test.
//
//   const mini = await build('app')
//   const phone = await Phone.on(browser, mini, { server: 'http://127.0.0.1:8080', pretend: 'http://127.0.0.1:9100', person: 'anna' })
//   await phone.open({ scene: ticket, entry: 1047 })
//   await phone.tap('确认登录')
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { chromium } from 'playwright-core'

const ORIGIN = 'http://mini.localhost'
/** Every js_code is another one, whichever phone it is for. */
let codesGiven = 0

/** Debian's Chromium with nothing going out. */
export function launchChromium() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync',
      '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE *.localhost',
    ],
  })
}

export class Phone {
  /** Every request as the server saw it: {method, path, body, token, status}. */
  requests = []
  /** Everything else that was asked of WeChat: login, scanCode, exit, share, applyUpdate. */
  asked = []
  /** Errors of the page itself; a test that ends with any has failed. */
  errors = []
  /** What wx.request says instead of asking, e.g. { errMsg: 'request:fail timeout' }. */
  trouble
  /** As `trouble`, but the request does reach the server: its answer is lost on the way back. */
  answersLost = false
  /** What wx.login says instead of giving a code. */
  loginTrouble
  /** What the person picks as avatar: the bytes of a picture. */
  avatar = Buffer.from('\x89PNG picture', 'latin1')
  /** What the camera reads: {path} or {result}, or {fail}. */
  code

  /**
   * @param server where requests to the mini program's own server really go
   * @param pretend the pretend WeChat whose js_codes `person` gets; without it `jsCode` makes them
   */
  static async on(browser, mini, options = {}) {
    const phone = new Phone()
    phone.mini = mini
    phone.options = { server: mini.server, person: 'anna', language: 'zh_CN', theme: 'light', type: 1, env: 'release', width: 375, height: 720, ...options }
    const { language, theme, type, env, width, height } = phone.options
    phone.context = await browser.newContext({
      viewport: { width, height }, colorScheme: theme, deviceScaleFactor: 2, hasTouch: true, reducedMotion: 'reduce',
      locale: language.replace('_', '-'),
    })
    const page = (phone.page = await phone.context.newPage())
    page.on('pageerror', (error) => phone.errors.push(String(error)))
    page.on('console', (message) => {
      if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) phone.errors.push(message.text())
    })
    await page.exposeFunction('saomaPhone', (what, detail) => phone.answer(what, detail))
    await page.addInitScript((settings) => { globalThis.saomaSettings = settings }, { language, theme, type, env })
    await page.route('**/*', (route) => phone.serve(route))
    return phone
  }

  /** A cold start by a code. `entry` is WeChat's scene number, `path` and `query` may be given whole (codes A and C). */
  async open({ scene, entry = 1047, path = 'pages/login/login', query, apiCategory = 'default' } = {}) {
    await this.page.goto(`${ORIGIN}/`)
    const options = { path, query: query ?? (scene === undefined ? {} : { scene: encodeURIComponent(scene) }), scene: entry, apiCategory, referrerInfo: {} }
    this.entered = options
    await this.page.evaluate((options) => globalThis.phone.launch(options), options)
  }

  /** A cold start from WeChat's list of mini programs. */
  openHome(entry = 1001) {
    return this.open({ path: 'pages/home/home', query: {}, entry })
  }

  async hide() {
    await this.page.evaluate(() => globalThis.phone.hide())
  }

  /** Back to the foreground; what is not given is as it was. */
  async show({ scene, entry, reload = false, ...rest } = {}) {
    const options = {
      ...this.entered, ...rest,
      ...(scene !== undefined && { path: 'pages/login/login', query: { scene: encodeURIComponent(scene) } }),
      ...(entry !== undefined && { scene: entry }),
    }
    this.entered = options
    await this.page.evaluate(([options, reload]) => globalThis.phone.show(options, reload), [options, reload])
  }

  async goOffline() {
    this.trouble = { errMsg: 'request:fail -106:net::ERR_INTERNET_DISCONNECTED' }
    await this.page.evaluate(() => globalThis.phone.network(false))
  }

  async comeBack() {
    this.trouble = undefined
    await this.page.evaluate(() => globalThis.phone.network(true))
  }

  /** Taps a button by its words. */
  async tap(name) {
    await this.page.getByRole('button', { name, exact: true }).click()
  }

  async sees(text) {
    await this.page.getByText(text).first().waitFor({ timeout: 15_000 })
  }

  /** All that stands on the screen. */
  text() {
    return this.page.locator('main').innerText()
  }

  path() {
    return this.page.evaluate(() => globalThis.phone.path())
  }

  /** The requests so far, as `POST /tickets/../scan`-like words: what was called, not with which id. */
  calls() {
    return this.requests.map(({ method, path }) => `${method} ${path.replace(/^\/api\/phone/, '').replace(/[0-9A-Za-z]{22}|[0-9]{8}/, '..')}`)
  }

  async close() {
    await this.context.close()
    if (this.errors.length > 0) throw new Error(`the page had errors:\n${this.errors.join('\n')}`)
  }

  /** What `wx` in the page asks for. */
  async answer(what, detail) {
    if (what === 'request') return this.request(detail)
    this.asked.push({ what, ...detail })
    if (what === 'login') return this.loginTrouble ? { fail: this.loginTrouble } : { code: await this.jsCode() }
    if (what === 'scanCode') return this.code ?? { fail: { errMsg: 'scanCode:fail cancel' } }
    if (what === 'chooseAvatar') return { avatarUrl: 'wxfile://tmp/avatar.png' }
    if (what === 'readFile') return { data: this.avatar.toString('base64') }
    return {}
  }

  async jsCode() {
    const { pretend, person } = this.options
    if (!pretend) return `js-${person}-${++codesGiven}`
    const answer = await fetch(`${pretend}/pretend/js_code`, {
      method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ person }),
    })
    return (await answer.json()).js_code
  }

  async request({ url, method, data, header }) {
    const { origin, pathname, search } = new URL(url)
    if (origin !== this.mini.server) return { fail: { errno: 600002, errMsg: 'request:fail url not in domain list' } }
    if (this.trouble) return { fail: this.trouble }
    const asked = { method, path: pathname + search, body: data && JSON.parse(data), token: header.Authorization?.replace('Bearer ', '') }
    this.requests.push(asked)
    let answer
    try {
      answer = await fetch(this.options.server + pathname + search, { method, body: data, headers: header })
    } catch {
      return { fail: { errMsg: 'request:fail -102:net::ERR_CONNECTION_REFUSED' } }
    }
    asked.status = answer.status
    const text = await answer.text()
    if (this.answersLost) return { fail: { errMsg: 'request:fail timeout' } }
    return { statusCode: answer.status, header: Object.fromEntries(answer.headers), data: asJson(text) }
  }

  /** The page's own files, and pictures of the server. */
  async serve(route) {
    const { origin, pathname } = new URL(route.request().url())
    if (origin === ORIGIN && pathname === '/') {
      return route.fulfill({ contentType: 'text/html; charset=utf-8', body: `<!doctype html><html lang="${this.options.language.slice(0, 2)}"><title>mini program</title><body><script src="/app.js"></script></body></html>` })
    }
    if (origin === ORIGIN && pathname === '/app.js') return route.fulfill({ contentType: 'text/javascript; charset=utf-8', body: this.mini.script })
    if (origin === ORIGIN) {
      try {
        return await route.fulfill({ body: await readFile(join(this.mini.folder, pathname)), contentType: pathname.endsWith('.svg') ? 'image/svg+xml' : 'image/png' })
      } catch {
        return route.fulfill({ status: 404, body: '' })
      }
    }
    if (origin === this.mini.server && this.options.server !== this.mini.server) {
      return route.fulfill({ response: await this.page.request.get(this.options.server + pathname) })
    }
    return route.abort()
  }
}

function asJson(text) {
  try {
    return JSON.parse(text)
  } catch {
    return text // As WeChat does with an answer that is no JSON.
  }
}
