import type { Attempt, Browser, Login } from '../../lib/api'
import type { Saoma } from '../../lib/saoma'
import { browserName, type FailureLines, moment } from '../../lib/show'
import { fill } from '../../lib/words'

const { agrees, api, arrivals, explain, session, t, type } = getApp<{ saoma: Saoma }>().saoma

type Line = {
  id: string
  site: string
  host: string
  browser: string
  times: string
}

Page({
  data: {
    t: t.logins,
    type,
    is: 'guest' as 'guest' | 'loading' | 'list' | 'failed',
    logins: [] as Line[],
    attempts: [] as Line[],
    notice: '',
    busy: false,
    failure: null as FailureLines | null,
  },

  onLoad() {
    wx.setNavigationBarTitle({ title: t.logins.title })
  },

  onShow() {
    if (session.chosen && !arrivals.robot) void this.load()
  },

  async onPullDownRefresh() {
    if (session.chosen) await this.load()
    wx.stopPullDownRefresh()
  },

  show() {
    if (!arrivals.robot) void this.load()
  },

  async load() {
    if (this.data.is !== 'list') this.setData({ is: 'loading' })
    try {
      // One after the other: the first takes the session that the second uses.
      const logins = await session.with((token) => api.logins(token))
      const attempts = await session.with((token) => api.attempts(token))
      this.setData({ is: 'list', failure: null, logins: logins.map(loginLine), attempts: attempts.map(attemptLine) })
    } catch (thrown) {
      this.setData({ is: 'failed', failure: explain(thrown) })
    }
  },

  end(event: WechatMiniprogram.BaseEvent<object, { line: Line }>) {
    const { line } = event.currentTarget.dataset
    void this.ends(fill(t.logins.endAsk, line), fill(t.logins.ended, line), (token) => api.endLogin(token, line.id, false))
  },
  notMe(event: WechatMiniprogram.BaseEvent<object, { line: Line }>) {
    const { line } = event.currentTarget.dataset
    void this.ends(t.logins.notMeAsk, fill(t.logins.notMeDone, line), (token) => api.endLogin(token, line.id, true))
  },
  endAll() {
    void this.ends(t.logins.endAllAsk, t.logins.endedAll, (token) => api.endAllLogins(token))
  },

  async ends(question: string, notice: string, call: (token: string) => Promise<void>) {
    if (this.data.busy || !(await agrees(question))) return
    this.setData({ busy: true, notice: '', failure: null })
    try {
      await session.with(call)
      this.setData({ notice })
      await this.load()
    } catch (thrown) {
      this.setData({ failure: explain(thrown) })
    }
    this.setData({ busy: false })
  },
})

function loginLine(login: Login): Line {
  const times = `${fill(t.logins.since, { time: moment(login.since) })}\n${fill(t.logins.seen, { time: moment(login.last_seen) })}`
  return { id: login.id, site: login.site.name, host: login.site.host, browser: browserLine(login.browser), times }
}

function attemptLine(attempt: Attempt): Line {
  const outcome = t.logins.outcome[attempt.outcome] ?? attempt.outcome
  return {
    id: attempt.id, site: attempt.site.name, host: attempt.site.host, browser: browserLine(attempt.browser),
    times: `${moment(attempt.at)} ${outcome}`,
  }
}

function browserLine(browser: Browser): string {
  return [browserName(browser, t), browser.region].filter(Boolean).join(' · ')
}
