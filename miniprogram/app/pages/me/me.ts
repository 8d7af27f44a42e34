import type { Asker, Consent } from '../../lib/api'
import { Failure } from '../../lib/failure'
import type { Saoma } from '../../lib/saoma'
import { browserName, type FailureLines, moment } from '../../lib/show'
import { fill } from '../../lib/words'

const { agrees, api, arrivals, config, explain, session, t, type } = getApp<{ saoma: Saoma }>().saoma

interface Given {
  id: string
  site: string
  what: string
}

interface Waiting {
  ask: Asker
  name: string
  site: string
  from: string
}

const GUEST = { nickname: '', avatar: '', owner: false, asks: [] as Waiting[], consents: [] as Given[], exported: '' }

Page({
  data: {
    t: t.me,
    type,
    is: 'guest' as 'guest' | 'loading' | 'known' | 'failed',
    profile: config.profile,
    notice: '',
    busy: false,
    failure: null as FailureLines | null,
    ...GUEST,
  },

  onLoad() {
    wx.setNavigationBarTitle({ title: t.me.title })
  },

  onShow() {
    if (session.chosen && !arrivals.robot) void this.load()
  },

  show() {
    if (!arrivals.robot) void this.load()
  },

  async load() {
    if (this.data.is !== 'known') this.setData({ is: 'loading', notice: '' })
    try {
      const consents = await session.with((token) => api.consents(token))
      const { owner = false, person } = session
      const asks = owner ? await session.with((token) => api.asks(token)) : []
      this.setData({
        is: 'known',
        failure: null,
        nickname: person?.nickname ?? t.me.noName,
        avatar: person?.avatar ? config.server + person.avatar : '',
        owner,
        asks: asks.map(waiting),
        consents: consents.map(given),
      })
    } catch (thrown) {
      this.setData({ is: 'failed', failure: explain(thrown) })
    }
  },

  editProfile() {
    wx.navigateTo({ url: '/pages/profile/profile' })
  },

  admit(event: WechatMiniprogram.BaseEvent<object, { line: Waiting }>) {
    const { line } = event.currentTarget.dataset
    this.answer(fill(t.me.admitAsk, { name: line.name, site: line.site }), line, true)
  },
  refuse(event: WechatMiniprogram.BaseEvent<object, { line: Waiting }>) {
    this.answer('', event.currentTarget.dataset.line, false)
  },
  answer(question: string, line: Waiting, admit: boolean) {
    void this.act(question, async () => {
      await session.with((token) => api.answer(token, line.ask, admit))
      await this.load()
    })
  },

  withdraw(event: WechatMiniprogram.BaseEvent<object, { line: Given }>) {
    const { line } = event.currentTarget.dataset
    void this.act(fill(t.me.withdrawAsk, { site: line.site }), async () => {
      await session.with((token) => api.withdraw(token, line.id))
      this.setData({ notice: fill(t.me.withdrawn, { site: line.site }) })
      await this.load()
    })
  },

  exportMe() {
    void this.act('', async () => {
      const kept = await session.with((token) => api.me(token))
      this.setData({ exported: JSON.stringify(kept, null, 2) })
    })
  },

  share() {
    const filePath = `${wx.env.USER_DATA_PATH}/saoma-me.json`
    const fail = ({ errMsg }: { errMsg: string }) => {
      if (!/cancel/.test(errMsg)) this.setData({ failure: explain(new Failure('share_failed', '', errMsg)) })
    }
    wx.getFileSystemManager().writeFile({
      filePath,
      data: this.data.exported,
      encoding: 'utf8',
      success: () => wx.shareFileMessage({ filePath, fail }),
      fail,
    })
  },

  signOut() {
    session.signOut()
    this.setData({ is: 'guest', notice: t.me.signedOut, failure: null, ...GUEST })
  },

  remove() {
    void this.act(t.me.removeAsk, async () => {
      await session.with((token) => api.deleteMe(token))
      session.forget()
      this.setData({ is: 'guest', notice: t.me.removed, ...GUEST })
    })
  },

  /** One thing at a time, after a yes where a question is given, with its failure in words. */
  async act(question: string, does: () => Promise<void>) {
    if (this.data.busy || (question && !(await agrees(question)))) return
    this.setData({ busy: true, notice: '', failure: null })
    try {
      await does()
    } catch (thrown) {
      this.setData({ failure: explain(thrown) })
    }
    this.setData({ busy: false })
  },
})

function waiting(ask: Asker): Waiting {
  const { person, site, browser, at } = ask
  return {
    ask,
    name: [person.name, person.nickname].filter(Boolean).join(' · '),
    site: site.name,
    from: `${moment(at)} ${browserName(browser, t)}`,
  }
}

function given(consent: Consent): Given {
  const what = consent.scopes.filter((scope) => scope !== 'openid').map((scope) => t.login.scopes[scope] ?? scope)
  return { id: consent.site.id, site: consent.site.name, what: what.join(t.language === 'zh' ? '、' : ', ') }
}
