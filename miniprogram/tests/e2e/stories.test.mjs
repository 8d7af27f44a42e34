// A whole sign-in and its ways to end, with nothing in place of anything but WeChat itself.
import assert from 'node:assert/strict'
import { after, afterEach, before, describe, test } from 'node:test'
import { NASTY, World } from './world.mjs'

describe('from the code on the screen to the site', () => {
  let world
  before(async () => { world = await World.start() })
  after(() => world?.stop())
  afterEach(() => world.end())

  test('scan, tap, signed in', async () => {
    const screen = await world.screen()
    const anna = await world.phone('anna')
    await anna.open(await screen.code())
    await anna.sees(NASTY)
    await anna.sees('127.0.0.1')
    await anna.page.getByRole('checkbox', { name: '昵称、头像、用户名' }).check()
    await anna.tap('确认登录')
    await anna.sees('已确认')
    await screen.sees('Signed in as')
    assert.equal(new URL(screen.page.url()).origin, world.site.url)
  })

  test('refused on the phone: the site is told, and nobody is signed in', async () => {
    const screen = await world.screen()
    const anna = await world.phone('anna')
    await anna.open(await screen.code())
    await anna.tap('拒绝')
    await anna.sees('没有人登录')
    await screen.sees('未通过手机确认')
    await screen.page.getByRole('link', { name: '返回' }).click()
    await screen.sees('Nobody is signed in: access_denied')
  })

  test('a long press asks for the number on the page; coming back from the recents changes nothing; the right number signs in', async () => {
    const screen = await world.screen()
    const anna = await world.phone('anna')
    await anna.open(await screen.code('long_press'))
    await anna.sees('你是长按图片打开的')
    const number = await screen.number()
    await anna.hide()
    await anna.show({ entry: 1089 })
    await anna.hide()
    await anna.show({ entry: 1089, reload: true })
    await anna.sees('你是长按图片打开的')
    assert.equal(await screen.number(), number, 'a second scan draws no second number')
    await anna.page.getByLabel('输入网页上显示的两位数字').fill(number)
    await anna.tap('确认登录')
    await anna.sees('已确认')
    await screen.sees('Signed in as')
  })

  test('a wrong number ends it on both sides', async () => {
    const screen = await world.screen()
    const anna = await world.phone('anna')
    await anna.open(await screen.code('long_press'))
    const number = await screen.number()
    await anna.page.getByLabel('输入网页上显示的两位数字').fill(String((Number(number) + 1) % 100).padStart(2, '0'))
    await anna.tap('确认登录')
    await anna.sees('数字不对')
    await screen.sees('未通过手机确认')
  })

  test('the first phone keeps the code, the second is told so', async () => {
    const screen = await world.screen()
    const [anna, bert] = await Promise.all([world.phone('anna'), world.phone('bert')])
    const code = await screen.code()
    await anna.open(code)
    await anna.sees(NASTY)
    await bert.open(code)
    await bert.sees('已被别的手机扫过')
    await anna.tap('确认登录')
    await screen.sees('Signed in as')
  })

  test('offline when the code is opened, and at the tap', async () => {
    const screen = await world.screen()
    const anna = await world.phone('anna')
    anna.trouble = { errMsg: 'request:fail -106:net::ERR_INTERNET_DISCONNECTED' }
    await anna.open(await screen.code())
    await anna.sees('没有网络')
    await anna.comeBack()
    await anna.sees(NASTY)
    await anna.goOffline()
    await anna.tap('确认登录')
    await anna.sees('没有网络')
    await anna.comeBack()
    await anna.tap('确认登录')
    await anna.sees('已确认')
    await screen.sees('Signed in as')
  })

  test('the answer to the tap is lost: the page is signed in, and the same tap again says so', async () => {
    const screen = await world.screen()
    const anna = await world.phone('anna')
    await anna.open(await screen.code())
    await anna.sees(NASTY)
    anna.answersLost = true
    await anna.tap('确认登录')
    await anna.sees('等得太久')
    await screen.sees('Signed in as')
    anna.answersLost = false
    await anna.tap('确认登录')
    await anna.sees('已确认')
  })

  test('digits where nothing can be scanned', async () => {
    const screen = await world.screen()
    const anna = await world.phone('anna')
    await anna.openHome()
    await anna.page.getByLabel('网页上显示的八位数字').fill(await screen.digits())
    await anna.tap('下一步')
    await anna.sees(NASTY)
    await anna.tap('确认登录')
    await anna.sees('已确认')
    await screen.sees('Signed in as')
  })

  test('our own scan button reads the code', async () => {
    const screen = await world.screen()
    const anna = await world.phone('anna')
    const { path, query } = await screen.code()
    anna.code = { path: `${path}?scene=${query.scene}` }
    await anna.openHome()
    await anna.tap('扫码')
    await anna.sees(NASTY)
    await anna.tap('确认登录')
    await screen.sees('Signed in as')
  })

  test('a release that speaks an older protocol is told to update, and the code is still good for another phone', async () => {
    const screen = await world.screen()
    const [old, anna] = await Promise.all([world.ofProtocol(0).then((mini) => world.phone('bert', { mini })), world.phone('anna')])
    const code = await screen.code()
    await old.open(code)
    await old.sees('需要更新小程序')
    assert.equal(old.requests.at(-1).status, 426)
    await old.tap('立即更新')
    assert.equal(old.asked.at(-1).what, 'applyUpdate')
    await anna.open(code)
    await anna.tap('确认登录')
    await screen.sees('Signed in as')
  })

  test('my logins: somebody new signs in, sees it, and ends it', async () => {
    const screen = await world.screen()
    const carla = await world.phone('carla')
    await carla.open(await screen.code())
    await carla.page.getByRole('checkbox', { name: '昵称、头像、用户名' }).check()
    await carla.page.getByRole('checkbox', { name: '在这个浏览器保持登录' }).check()
    await carla.tap('确认登录')
    await screen.sees('Signed in as')
    await screen.page.goto(`${world.site.url}/sign-in`)
    await screen.sees('Signed in as')
    assert.equal(new URL(screen.page.url()).origin, world.site.url, 'a remembered browser needs no second scan')

    await carla.open({ path: 'pages/logins/logins', query: {}, entry: 1001 })
    await carla.tap('查看我的登录')
    await carla.sees('site.localhost')
    await carla.tap(`结束登录 ${NASTY}`)
    await carla.tap('确定')
    await carla.sees('已结束')
    await screen.page.goto(`${world.site.url}/sign-in`)
    await screen.page.locator('wechat-login').waitFor()
  })
})
