// The mini program as people meet it: the real pages in Chromium, against a server that speaks the contract.
// SAOMA_MINIPROGRAM names another folder, such as what `saoma miniprogram --out` wrote.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { after, afterEach, before, beforeEach, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { build } from '../harness/build.mjs'
import { launchChromium, Phone } from '../harness/phone.mjs'
import { hasProfile, withProfile } from './profile.mjs'
import { PhoneServer, Problem } from './server.mjs'

const folder = process.env.SAOMA_MINIPROGRAM ?? fileURLToPath(new URL('../app', import.meta.url))

describe('the mini program in people’s hands', () => {
  let browser, mini, server
  const phones = []
  const phone = async (options = {}) => {
    const phone = await Phone.on(browser, mini, { server: server.url, ...options })
    phones.push(phone)
    return phone
  }

  before(async () => {
    ;[browser, mini] = await Promise.all([launchChromium(), build(folder)])
  })
  after(() => browser.close())
  beforeEach(async () => { server = await PhoneServer.start() })
  afterEach(async () => {
    try {
      for (const phone of phones.splice(0)) await phone.close()
    } finally {
      await server.stop()
    }
  })

  test('scan, tap, signed in', async () => {
    const ticket = server.ticket()
    const anna = await phone()
    await anna.open({ scene: ticket.scene, entry: 1047 })
    await anna.sees('My blog')
    await anna.sees('login.example.com')
    assert.equal(ticket.state, 'scanned', 'looking decides nothing')
    assert.deepEqual(anna.calls(), ['POST /tickets/../scan'])
    assert.equal(anna.requests[0].body.entry, 1047)
    assert.equal(anna.requests[0].body.protocol, 1)

    await anna.tap('确认登录')
    await anna.sees('已确认')
    assert.equal(ticket.state, 'approved')
    assert.deepEqual(ticket.decision, { remember: false, scopes: [] }, 'nothing is given or remembered that was not ticked')

    await anna.tap('返回（关闭小程序）')
    assert.equal(anna.asked.at(-1).what, 'exit')
  })

  test('what is ticked is given, and the browser is kept signed in on request', async () => {
    const ticket = server.ticket()
    const anna = await phone()
    await anna.open({ scene: ticket.scene })
    await anna.page.getByRole('checkbox', { name: '昵称、头像、用户名' }).check()
    await anna.page.getByRole('checkbox', { name: '在这个浏览器保持登录' }).check()
    await anna.tap('确认登录')
    await anna.sees('已确认')
    assert.deepEqual(ticket.decision, { remember: true, scopes: ['profile'] })
  })

  test('refuse: nobody is signed in', async () => {
    const ticket = server.ticket()
    const anna = await phone({ language: 'en' })
    await anna.open({ scene: ticket.scene })
    await anna.tap('Refuse')
    await anna.sees('Nobody was signed in')
    assert.equal(ticket.state, 'denied')
  })

  test('a long press asks for the number; the right one signs in', async () => {
    const ticket = server.ticket()
    const anna = await phone()
    await anna.open({ scene: ticket.scene, entry: 1048 })
    await anna.sees('你是长按图片打开的')
    assert.equal(await anna.page.getByRole('checkbox', { name: '在这个浏览器保持登录' }).count(), 0, 'not offered where risk is raised')
    await anna.tap('确认登录')
    await anna.sees('请输入网页上显示的两位数字。')
    assert.equal(ticket.state, 'scanned')
    await anna.page.getByLabel('输入网页上显示的两位数字').fill('42')
    await anna.tap('确认登录')
    await anna.sees('已确认')
    assert.equal(ticket.decision.match, '42')
  })

  test('a wrong number ends it at once', async () => {
    const ticket = server.ticket()
    const anna = await phone()
    await anna.open({ scene: ticket.scene, entry: 1048 })
    await anna.page.getByLabel('输入网页上显示的两位数字').fill('24')
    await anna.tap('确认登录')
    await anna.sees('数字不对')
    assert.equal(ticket.state, 'denied')
    assert.equal(await anna.page.getByRole('button', { name: '再试一次' }).count(), 0)
  })

  test('a refused sign-in is shown plainly and offers no yes', async () => {
    const ticket = server.ticket({ ask: 'refuse', risk: 'raised', why: ['card'] })
    const anna = await phone()
    await anna.open({ scene: ticket.scene, entry: 1007 })
    await anna.sees('这次登录不能确认')
    await anna.sees('你是从聊天里的卡片打开的')
    assert.equal(await anna.page.getByRole('button', { name: '确认登录' }).count(), 0)
    await anna.tap('拒绝')
    await anna.sees('已拒绝')
    assert.equal(ticket.state, 'denied')
  })

  test('the first phone keeps the ticket, and the second is told so', async () => {
    const ticket = server.ticket()
    const anna = await phone({ person: 'anna' })
    const bert = await phone({ person: 'bert' })
    await anna.open({ scene: ticket.scene })
    await anna.sees('My blog')
    await bert.open({ scene: ticket.scene })
    await bert.sees('已被别的手机扫过')
    await anna.tap('确认登录')
    await anna.sees('已确认')
  })

  test('a code that waited too long', async () => {
    const ticket = server.ticket()
    server.ahead = 121
    const anna = await phone()
    await anna.open({ scene: ticket.scene })
    await anna.sees('已过期')
  })

  test('a question left lying expires on the phone by itself', async () => {
    const ticket = server.ticket({ expires_in: 1 })
    const anna = await phone()
    await anna.open({ scene: ticket.scene })
    await anna.sees('已过期')
    assert.deepEqual(anna.requests.map(({ status }) => status), [200], 'the scan itself went well')
    assert.equal(ticket.state, 'scanned', 'the phone decided nothing')
  })

  test('offline when the code is opened, and back: the question comes by itself, with a fresh js_code', async () => {
    const ticket = server.ticket()
    const anna = await phone()
    anna.trouble = { errMsg: 'request:fail -106:net::ERR_INTERNET_DISCONNECTED' }
    await anna.open({ scene: ticket.scene })
    await anna.sees('没有网络')
    await anna.comeBack()
    await anna.sees('My blog')
    assert.equal(anna.asked.filter(({ what }) => what === 'login').length, 2)
  })

  test('offline at the tap: nothing is sent later without another tap', async () => {
    const ticket = server.ticket()
    const anna = await phone()
    await anna.open({ scene: ticket.scene })
    await anna.sees('My blog')
    await anna.goOffline()
    await anna.tap('确认登录')
    await anna.sees('没有网络')
    await anna.comeBack()
    await anna.page.getByText('没有网络').waitFor({ state: 'detached' })
    await anna.sees('还没有收到结果。请再点一次。')
    assert.deepEqual(anna.calls(), ['POST /tickets/../scan'])
    await anna.tap('确认登录')
    await anna.sees('已确认')
  })

  test('a yes that the server took and whose answer never comes is not called void', async () => {
    const ticket = server.ticket()
    const anna = await phone()
    await anna.page.clock.install()
    await anna.open({ scene: ticket.scene })
    await anna.sees('还剩')
    anna.answersLost = true
    await anna.tap('确认登录')
    await anna.sees('还没有收到结果')
    assert.equal(ticket.state, 'approved')
    assert.doesNotMatch(await anna.text(), /还剩/)
    assert.ok(await anna.page.getByRole('button', { name: '拒绝' }).isDisabled())
    await anna.page.clock.runFor(118_000)
    await anna.sees('还没有收到结果')
    await anna.page.clock.runFor(3_000)
    await anna.sees('请看网页或设备上有没有登录')
    assert.doesNotMatch(await anna.text(), /作废|过期/)
  })

  test('a server that cannot answer just now leaves the question standing', async () => {
    const ticket = server.ticket()
    server.nextScan = new Problem('unavailable', { status: 503 })
    const anna = await phone()
    await anna.open({ scene: ticket.scene })
    await anna.sees('服务器暂时不能用')
    await anna.tap('再试一次')
    await anna.sees('My blog')
    server.nextDecision = new Problem('unavailable', { status: 503 })
    await anna.tap('确认登录')
    await anna.sees('请过几秒再试一次。')
    await anna.tap('确认登录')
    await anna.sees('已确认')
  })

  test('where WeChat never answers there is a way out', async () => {
    const anna = await phone()
    anna.jsCode = () => new Promise(() => {})
    await anna.open({ scene: server.ticket().scene })
    const home = anna.page.getByRole('button', { name: '回首页' })
    await anna.sees('正在核对')
    assert.equal(await home.isVisible(), false, 'not while all goes as it should')
    await anna.page.evaluate(() => document.getAnimations().filter(({ animationName }) => animationName === 'late').forEach((some) => some.finish()))
    await home.click()
    await anna.sees('怎么用')
  })

  test('the answer to a yes is lost: the same tap again gets the same answer', async () => {
    const ticket = server.ticket()
    const anna = await phone()
    await anna.open({ scene: ticket.scene })
    await anna.sees('My blog')
    anna.answersLost = true
    await anna.tap('确认登录')
    await anna.sees('等得太久')
    assert.equal(ticket.state, 'approved')
    anna.answersLost = false
    await anna.tap('确认登录')
    await anna.sees('已确认')
  })

  test('eight digits typed on the home page', async () => {
    const ticket = server.ticket()
    const anna = await phone()
    await anna.openHome()
    assert.deepEqual(anna.asked, [], 'a launch asks WeChat nothing')
    await anna.page.getByLabel('网页上显示的八位数字').fill('1234')
    await anna.tap('下一步')
    await anna.sees('请输入网页上显示的八位数字。')
    assert.deepEqual(anna.requests, [])
    await anna.page.getByLabel('网页上显示的八位数字').fill(String((Number(ticket.digits) % 90000000) + 10000001))
    await anna.tap('下一步')
    await anna.sees('数字不对或已过期，请再看一眼重新输入。')
    await anna.tap('回首页')
    await anna.page.getByLabel('网页上显示的八位数字').fill(`${ticket.digits.slice(0, 4)} ${ticket.digits.slice(4)}`)
    await anna.tap('下一步')
    await anna.sees('My blog')
    assert.deepEqual(anna.calls(), ['POST /codes/../scan', 'POST /codes/../scan'])
    await anna.tap('确认登录')
    await anna.sees('已确认')
  })

  test('our own scan button: a live camera, and told so', async () => {
    for (const code of [(scene) => ({ path: `pages/login/login?scene=${scene}` }), (scene) => ({ result: `weixin://pretend/wx1/pages/login/login?scene=${scene}` })]) {
      const ticket = server.ticket()
      const anna = await phone()
      anna.code = code(ticket.scene)
      await anna.openHome()
      await anna.tap('扫码')
      await anna.sees('My blog')
      assert.equal(anna.requests[0].body.entry, 'camera')
      assert.equal(anna.asked[0].onlyFromCamera, true)
      await anna.tap('拒绝')
      await anna.sees('已拒绝')
    }
  })

  test('another code than ours, and a scanner that was closed', async () => {
    const anna = await phone()
    anna.code = { result: 'https://example.org/menu' }
    await anna.openHome()
    await anna.tap('扫码')
    await anna.sees('这不是登录码')
    anna.code = undefined
    await anna.tap('扫码')
    await anna.page.getByText('这不是登录码').waitFor({ state: 'detached' })
    assert.equal(await anna.page.getByRole('alert').count(), 0, 'closing it is no failure')
    assert.deepEqual(anna.requests, [])
  })

  test('codes A and C hand over a plain query, an encoded scene is decoded', async () => {
    for (const encode of [(scene) => scene, (scene) => scene.replace(/./g, (c) => `%${c.charCodeAt(0).toString(16)}`)]) {
      const ticket = server.ticket()
      const anna = await phone()
      await anna.open({ query: { scene: encode(ticket.scene) }, entry: 1011 })
      await anna.sees('My blog')
      assert.equal(ticket.state, 'scanned')
    }
  })

  test('back from the recents list after a long press: it stays a long press', async () => {
    const ticket = server.ticket()
    const anna = await phone()
    await anna.open({ scene: ticket.scene, entry: 1048 })
    await anna.sees('My blog')
    await anna.hide()
    await anna.show({ entry: 1089 })
    await anna.hide()
    await anna.show({ entry: 1089, reload: true })
    await anna.sees('你是长按图片打开的')
    assert.deepEqual(new Set(ticket.entries), new Set([1048]))
  })

  test('a second code opens a running mini program: the old page shows the new ticket', async () => {
    for (const reload of [false, true]) {
      const first = server.ticket({ site: { name: 'First site', host: 'first.example.com', logo: null } })
      const second = server.ticket({ site: { name: 'Second site', host: 'second.example.com', logo: null } })
      const anna = await phone()
      await anna.open({ scene: first.scene, entry: 1047 })
      await anna.sees('First site')
      await anna.hide()
      await anna.show({ scene: second.scene, entry: 1048, reload })
      await anna.sees('Second site')
      assert.deepEqual(second.entries, [1048])
      assert.equal(first.entries.length, 1)
    }
  })

  test('WeChat’s crawler and other robots look at every page and call nothing', async () => {
    for (const entry of [1129, 1030, 1101, 1203]) {
      const ticket = server.ticket()
      const robot = await phone()
      await robot.open({ scene: ticket.scene, entry })
      await robot.sees('不进行登录')
      for (const path of ['pages/home/home', 'pages/logins/logins', 'pages/me/me', 'pages/about/about']) {
        await robot.open({ path, query: {}, entry })
        for (const button of await robot.page.getByRole('button', { name: /^查看/ }).all()) await button.click()
      }
      assert.deepEqual([robot.asked, robot.requests], [[], []])
      assert.equal(ticket.state, 'waiting')
    }
  })

  test('a login page without a ticket says where to begin', async () => {
    const anna = await phone()
    await anna.open({ query: {} })
    await anna.sees('没有要确认的登录')
    await anna.tap('回首页')
    await anna.sees('怎么用')
    assert.deepEqual([anna.asked, anna.requests], [[], []])
  })

  test('the Moments preview cannot sign in, and says so', async () => {
    const anna = await phone()
    await anna.open({ scene: server.ticket().scene, entry: 1154, apiCategory: 'browseOnly' })
    await anna.sees('这里只能浏览')
    assert.deepEqual([anna.asked, anna.requests], [[], []])
  })

  test('an old mini program is told to update, and how', async () => {
    const ticket = server.ticket()
    server.nextScan = new Problem('update_required')
    const anna = await phone()
    await anna.open({ scene: ticket.scene })
    await anna.sees('需要更新小程序')
    await anna.tap('立即更新')
    assert.equal(anna.asked.at(-1).what, 'applyUpdate')
  })

  test('a code the mini program does not know shows the server’s own sentence', async () => {
    const ticket = server.ticket()
    server.nextScan = new Problem('sunday_rest', { status: 403, detail: '周日休息。' })
    const anna = await phone()
    await anna.open({ scene: ticket.scene })
    await anna.sees('周日休息。')
  })

  test('WeChat’s own failures name the host and where the owner mends them', async () => {
    const stories = [
      [{ errno: 600002, errMsg: 'request:fail url not in domain list' }, '微信不让连接服务器', 'request 合法域名'],
      [{ errMsg: 'request:fail ssl hand shake error' }, '安全连接失败', '证书'],
      [{ errMsg: 'request:fail timeout' }, '等得太久', '没有及时回答'],
      [{ errMsg: 'request:fail -105:net::ERR_NAME_NOT_RESOLVED' }, '连不上服务器', '域名解析'],
    ]
    for (const [trouble, title, cure] of stories) {
      const ticket = server.ticket()
      const anna = await phone()
      anna.trouble = trouble
      await anna.open({ scene: ticket.scene })
      await anna.sees(title)
      await anna.sees(cure)
      await anna.sees(new URL(mini.server).host)
      anna.trouble = undefined
      await anna.tap('再试一次')
      await anna.sees('My blog')
    }
  })

  test('wx.login fails, and works the second time', async () => {
    const ticket = server.ticket()
    const anna = await phone()
    anna.loginTrouble = { errMsg: 'login:fail system error' }
    await anna.open({ scene: ticket.scene })
    await anna.sees('微信登录接口没有成功')
    assert.deepEqual(anna.requests, [])
    anna.loginTrouble = undefined
    await anna.tap('再试一次')
    await anna.sees('My blog')
  })

  test('my logins: a guest is asked first, then sees them, ends one, says “not me”, ends all', async () => {
    for (const name of ['One', 'Two', 'Three']) server.login('anna', { site: { id: name, name, host: `${name.toLowerCase()}.example.com` } })
    server.login('bert', { site: { id: 'b', name: 'Bert’s', host: 'bert.example.com' } })
    server.attempts.push({ person: 'anna', id: 'a1', site: { name: 'Four', host: 'four.example.com' }, browser: { name: null, os: null, region: null }, at: 1795000000, outcome: 'wrong_match' })
    const anna = await phone()
    await anna.openHome()
    await anna.page.getByRole('button', { name: /^我的登录/ }).click()
    await anna.sees('查看时，本小程序会向微信确认你是谁')
    assert.deepEqual(anna.asked, [])
    await anna.tap('查看我的登录')
    await anna.sees('one.example.com')
    await anna.sees('数字不对，已作废')
    assert.doesNotMatch(await anna.text(), /Bert/)

    await anna.tap('结束登录 One')
    await anna.tap('取消')
    assert.equal(server.logins.size, 4)
    await anna.tap('结束登录 One')
    await anna.tap('确定')
    await anna.sees('已结束 One 的登录')
    assert.equal(server.logins.size, 3)

    await anna.tap('不是我 Two')
    await anna.tap('确定')
    await anna.sees('并记下不是你本人')
    assert.equal(anna.requests.findLast(({ method }) => method === 'DELETE').body.not_me, true)

    await anna.tap('全部结束')
    await anna.tap('确定')
    await anna.sees('已全部结束')
    assert.deepEqual([...server.logins.values()].map(({ person }) => person), ['bert'])
  })

  test('a session that ended is renewed once, without a word', async () => {
    server.login('anna')
    const anna = await phone()
    await anna.open({ path: 'pages/logins/logins', query: {}, entry: 1001 })
    await anna.tap('查看我的登录')
    await anna.sees('My blog')
    server.sessions.clear()
    await anna.tap('结束登录 My blog')
    await anna.tap('确定')
    await anna.sees('已结束 My blog 的登录')
  })

  test('me: what sites got is withdrawn, everything is exported, sign out, delete', async () => {
    server.consents.set('anna', [{ site: { id: 'blog', name: 'My blog', host: 'blog.example.com' }, scopes: ['openid', 'profile'], since: 1795000000 }])
    const anna = await phone()
    await anna.openHome()
    await anna.page.getByRole('button', { name: /^我 / }).click()
    await anna.tap('查看我的信息')
    await anna.sees('昵称、头像、用户名')
    if (!hasProfile(folder)) assert.equal(await anna.page.getByRole('button', { name: '昵称和头像' }).count(), 0, 'the default build asks for no profile')
    await anna.tap('收回 My blog')
    await anna.tap('确定')
    await anna.sees('没有给过任何网站额外的内容')

    await anna.tap('导出我的信息')
    await anna.sees('"logins": 0')
    await anna.tap('把文件发到聊天（例如文件传输助手）')
    assert.deepEqual(JSON.parse(anna.asked.at(-1).content).logins, 0)

    await anna.tap('在这台手机上退出')
    await anna.sees('已退出')
    await anna.sees('查看我的信息')
    assert.equal(server.sessions.size, 0)

    await anna.tap('查看我的信息')
    await anna.tap('删除我的全部信息')
    await anna.tap('确定')
    await anna.sees('已删除')
    assert.deepEqual([...server.deleted], ['anna'])
  })

  test('an owner lets one in and keeps another out; nobody else is shown who waits', async () => {
    const ask = (name) => ({ person: { name, nickname: null, avatar: null }, site: { id: 'study', name: 'The study', host: 'study.example.com' }, browser: { name: 'Firefox', os: 'Linux', region: null }, at: 1795000000 })
    Object.assign(server, { owner: 'anna', asks: [ask('u1'), ask('u2'), ask('u3')], answers: [] })
    const anna = await phone()
    await anna.open({ path: 'pages/me/me', query: {}, entry: 1001 })
    await anna.tap('查看我的信息')
    await anna.sees('等你同意的人')
    await anna.tap('同意 u1')
    await anna.sees('让 u1 登录 The study')
    await anna.tap('取消')
    assert.deepEqual(server.answers, [], 'a look is no yes')
    await anna.tap('同意 u1')
    await anna.tap('确定')
    await anna.page.getByText('u1', { exact: true }).waitFor({ state: 'detached' })
    await anna.tap('不同意 u2')
    await anna.page.getByText('u2', { exact: true }).waitFor({ state: 'detached' })
    assert.deepEqual(server.answers, [{ person: 'u1', site: 'study', admit: true }, { person: 'u2', site: 'study', admit: false }])
    assert.equal(await anna.page.getByText('u3', { exact: true }).count(), 1)

    server.owner = undefined
    const bob = await phone({ person: 'bob' })
    await bob.open({ path: 'pages/me/me', query: {}, entry: 1001 })
    await bob.tap('查看我的信息')
    await bob.sees('导出我的信息')
    assert.equal(await bob.page.getByText('等你同意的人').count(), 0)
  })

  test('nickname and avatar, where the owner turned them on', async () => {
    await withProfile(folder, async (folder) => {
      const anna = await Phone.on(browser, await build(folder), { server: server.url })
      phones.push(anna)
      await anna.open({ path: 'pages/me/me', query: {}, entry: 1001 })
      await anna.tap('查看我的信息')
      await anna.tap('昵称和头像')
      await anna.tap('选择头像')
      await anna.page.getByLabel('昵称').fill('  小安 ')
      await anna.tap('保存')
      await anna.sees('已保存。')
      assert.deepEqual(server.profile, { nickname: '小安', avatar: anna.avatar.toString('base64') })

      anna.avatar = Buffer.alloc(300 * 1024)
      await anna.tap('选择头像')
      await anna.sees('图片太大')
    })
  })

  test('js_codes from the pretend WeChat, as the sign-in from end to end uses them', async () => {
    const pretend = createServer((request, response) => {
      assert.equal(`${request.method} ${request.url}`, 'POST /pretend/js_code')
      response.end(JSON.stringify({ js_code: 'js-carla-7000' }))
    })
    await new Promise((resolve) => pretend.listen(0, '127.0.0.1', resolve))
    const ticket = server.ticket()
    const carla = await phone({ pretend: `http://127.0.0.1:${pretend.address().port}`, person: 'carla' })
    await carla.open({ scene: ticket.scene })
    await carla.sees('My blog')
    assert.equal(ticket.person, 'carla')
    pretend.close()
  })
})
