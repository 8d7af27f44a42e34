// A ticket that nobody decides, with a short life: the clock here is the machine's.
import assert from 'node:assert/strict'
import { after, afterEach, before, describe, test } from 'node:test'
import { NASTY, World } from './world.mjs'

describe('a question left lying', () => {
  let world
  before(async () => { world = await World.start('[ticket]\nlife = "6s"\n') })
  after(() => world?.stop())
  afterEach(() => world.end())

  test('expires on the phone and on the page, and the page offers a fresh code', async () => {
    const screen = await world.screen()
    const anna = await world.phone('anna')
    const code = await screen.code()
    await anna.open(code)
    await anna.sees(NASTY)
    await anna.page.getByText('已过期').first().waitFor({ timeout: 30_000 })
    await screen.page.locator('wechat-login[data-state=waiting]').waitFor({ timeout: 30_000 })
    const fresh = await screen.code()
    assert.notEqual(fresh.query.scene, code.query.scene)
  })
})
