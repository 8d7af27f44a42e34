import type { Consent } from '../../lib/api'
import { Failure } from '../../lib/failure'
import type { Saoma } from '../../lib/saoma'
import type { FailureLines } from '../../lib/show'
import { fill } from '../../lib/words'

const { agrees, api, arrivals, config, explain, session, t, type } = getApp<{ saoma: Saoma }>().saoma

interface Given {
  id: string
  site: string
  what: string
}

const GUEST = { nickname: '', avatar: '', consents: [] as Given[], exported: '' }

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
      const { person } = session
      this.setData({
        is: 'known',
        failure: null,
        nickname: person?.nickname ?? t.me.noName,
        avatar: person?.avatar ? config.server + person.avatar : '',
        consents: consents.map(given),
      })
    } catch (thrown) {
      this.setData({ is: 'failed', failure: explain(thrown) })
    }
  },

  editProfile() {
    wx.navigateTo({ url: '/pages/profile/profile' })
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

function given(consent: Consent): Given {
  const what = consent.scopes.filter((scope) => scope !== 'openid').map((scope) => t.login.scopes[scope] ?? scope)
  return { id: consent.site.id, site: consent.site.name, what: what.join(t.language === 'zh' ? '、' : ', ') }
}
