// Everything a sign-in needs, for real: `saoma pretend` and `saoma serve` as processes of their own, a site, a browser in
// front of it, and the mini program as `saoma miniprogram` wrote it.
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { build } from '../../harness/build.mjs'
import { launchChromium, Phone } from '../../harness/phone.mjs'
import { Site } from './site.mjs'

export const BINARY = process.env.SAOMA ?? fileURLToPath(new URL('../../../target/debug/saoma', import.meta.url))
const APPID = 'wx0000000000000000'
/** Names that would get out of any string that does not hold them well. */
export const NASTY = '安的"博客"</script>'

/** A port that was free a moment ago. */
async function freePort() {
  const server = createServer()
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  await new Promise((resolve) => server.close(resolve))
  return port
}

export class World {
  processes = []
  phones = []
  pages = []

  /** `settings` is more TOML for saoma, such as a shorter life. */
  static async start(settings = '') {
    const world = new World()
    world.folder = await mkdtemp(join(tmpdir(), 'saoma-e2e-'))
    const [saoma, admin, pretend, site] = await Promise.all([freePort(), freePort(), freePort(), freePort()])
    Object.assign(world, { saoma: `http://127.0.0.1:${saoma}`, pretend: `http://127.0.0.1:${pretend}` })
    await writeFile(join(world.folder, 'saoma.toml'), `
public_url = "${world.saoma}"
listen = "127.0.0.1:${saoma}"
admin_listen = "127.0.0.1:${admin}"
store = "sqlite:${join(world.folder, 'saoma.db')}"
[wechat]
appid = "${APPID}"
secret = "pretend"
base_url = "${world.pretend}"
pool = 4
[miniprogram]
name = ${JSON.stringify(NASTY)}
name_en = "Ann's {{sign-in}}"
[[site]]
id = "blog"
name = ${JSON.stringify(NASTY)}
redirect_uris = ["http://site.localhost:${site}/callback"]
${settings}`)
    world.run('pretend', '--listen', `127.0.0.1:${pretend}`)
    await world.answers(`${world.pretend}/pretend/`)
    world.run('serve')
    const out = join(world.folder, 'mini')
    const [told] = await Promise.all([
      promisify(execFile)(BINARY, world.line('miniprogram', '--out', out)),
      world.answers(`${world.saoma}/healthz`),
      Site.start(site, world.saoma, 'blog').then((site) => { world.site = site }),
      launchChromium().then((browser) => { world.browser = browser }),
    ])
    world.told = told.stdout
    world.mini = await build(out)
    return world
  }

  line(...words) {
    return ['--config', join(this.folder, 'saoma.toml'), '--log', 'warn', ...words]
  }

  run(...words) {
    const child = spawn(BINARY, this.line(...words), { stdio: ['ignore', 'ignore', 'inherit'] })
    this.processes.push(child)
  }

  /** Waits until somebody answers there; a process that has ended never will. */
  async answers(url) {
    for (const end = Date.now() + 20_000; Date.now() < end;) {
      const ended = this.processes.find(({ exitCode }) => exitCode !== null)
      assert.equal(ended, undefined, 'a process ended by itself; what it said stands above')
      if (await fetch(url).then(({ ok }) => ok, () => false)) return
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    assert.fail(`${url} does not answer`)
  }

  async stop() {
    await this.browser?.close()
    await this.site?.stop()
    await Promise.all(this.processes.map((child) => new Promise((resolve) => {
      child.once('exit', resolve)
      if (child.exitCode !== null || !child.kill('SIGTERM')) resolve()
    })))
    await rm(this.folder, { recursive: true, force: true })
  }

  /** A browser of its own at the site, led to the code. */
  async screen() {
    const context = await this.browser.newContext({ locale: 'zh-CN', viewport: { width: 900, height: 900 } })
    const page = await context.newPage()
    this.pages.push(context)
    await page.goto(`${this.site.url}/sign-in`)
    return new Screen(this, page)
  }

  /** The mini program of a release that spoke another protocol, as it may still lie in people's phones. */
  async ofProtocol(protocol) {
    const folder = join(this.folder, `protocol-${protocol}`)
    await cp(join(this.folder, 'mini'), folder, { recursive: true })
    const api = join(folder, 'lib/api.ts')
    const source = await readFile(api, 'utf8')
    const changed = source.replace('const PROTOCOL = 1\n', `const PROTOCOL = ${protocol}\n`)
    assert.notEqual(changed, source)
    await writeFile(api, changed)
    return build(folder)
  }

  async phone(person, { mini = this.mini, ...options } = {}) {
    const phone = await Phone.on(this.browser, mini, { server: this.saoma, pretend: this.pretend, person, ...options })
    this.phones.push(phone)
    return phone
  }

  /** Ends a story: no phone had errors, and no page is left that could renew its code. */
  async end() {
    const [phones, pages] = [this.phones.splice(0), this.pages.splice(0)]
    await Promise.all(pages.map((context) => context.close()))
    for (const phone of phones) await phone.close()
  }
}

/** The computer's screen: what a camera sees, and what people read. */
class Screen {
  constructor(world, page) {
    Object.assign(this, { world, page })
  }

  /** What WeChat makes of the code on the screen: read off a screenshot, opened as that phone would. */
  async code(how = 'camera') {
    await this.page.locator('wechat-login img').first().waitFor()
    await this.page.waitForFunction(() => document.querySelector('wechat-login img')?.naturalWidth > 0)
    const text = await this.read(await this.page.screenshot())
    const answer = await fetch(`${this.world.pretend}/pretend/open`, {
      method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ text, how }),
    })
    const { path, query, scene } = await answer.json()
    assert.equal(answer.status, 200, `WeChat does not know ${text}`)
    return { path, query: Object.fromEntries(new URLSearchParams(query)), entry: scene }
  }

  /** The text of the code in a picture, read by a page of its own as a camera would. */
  async read(png) {
    const reader = await this.page.context().newPage()
    await reader.addScriptTag({ path: createRequire(import.meta.url).resolve('jsqr') })
    const text = await reader.evaluate(async (png) => {
      const bytes = Uint8Array.from(atob(png), (c) => c.charCodeAt(0))
      const picture = await createImageBitmap(new Blob([bytes]))
      const canvas = new OffscreenCanvas(picture.width, picture.height).getContext('2d')
      canvas.drawImage(picture, 0, 0)
      const { data, width, height } = canvas.getImageData(0, 0, picture.width, picture.height)
      return globalThis.jsQR(data, width, height)?.data
    }, png.toString('base64'))
    await reader.close()
    assert.ok(text, 'there is no code on the screen')
    return text
  }

  async sees(text) {
    await this.page.getByText(text).first().waitFor({ timeout: 20_000 }).catch(async () => {
      assert.fail(`the screen shows no ${text}, but: ${await this.page.locator('body').innerText()}`)
    })
  }

  /** The number that the page asks people to type. */
  async number() {
    const number = this.page.locator('wechat-login [part=match]')
    await number.filter({ hasText: /\d\d/ }).waitFor()
    return (await number.innerText()).trim()
  }

  async digits() {
    await this.page.getByRole('button', { name: '扫不了？改用数字' }).click()
    const digits = this.page.locator('.digits output')
    await digits.filter({ hasText: /\d/ }).waitFor()
    return digits.innerText()
  }
}
