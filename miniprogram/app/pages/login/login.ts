import type { Scope } from '../../lib/api'
import { ticketOf } from '../../lib/entry'
import { ofTheNetwork } from '../../lib/failure'
import { LoginFlow, type Step } from '../../lib/login'
import type { Saoma } from '../../lib/saoma'
import { type AskLines, askLines, type FailureLines, left } from '../../lib/show'
import { fill } from '../../lib/words'

const { api, arrivals, config, explain, t, type } = getApp<{ saoma: Saoma }>().saoma

/** Everything that one step shows; whatever a step does not set is empty. */
const NOTHING = {
  ask: null as AskLines | null,
  failure: null as FailureLines | null,
  trouble: '',
  needNumber: false,
  sent: '',
  again: false,
  update: false,
  sending: false,
  result: '',
  resultTitle: '',
  note: '',
}

Page({
  data: { t: t.login, type, is: 'nothing' as Step['is'], ...NOTHING, left: '', match: '', remember: false },

  // Not data: nothing of these is drawn.
  flow: undefined as unknown as LoginFlow,
  ticked: [] as Scope[],
  clock: 0,
  networkChanged: (_: object) => {},

  onLoad(query: Record<string, string | undefined>) {
    wx.setNavigationBarTitle({ title: t.login.title })
    this.flow = new LoginFlow(api, arrivals, () => Date.now(), (step) => this.draw(step))
    // WeChat may load this page again for a ticket that arrived before: then it came as it came.
    const ticket = ticketOf(query['scene'])
    const arrival = arrivals.take() ?? (ticket === undefined ? undefined : { ticket, entry: arrivals.entryOf(ticket) })
    if (arrival) this.open(arrival)
    else this.draw(arrivals.robot ? { is: 'robot' } : { is: 'nothing' })
    this.networkChanged = (result) => {
      if ('isConnected' in result && result.isConnected === true) void this.flow.networkIsBack()
    }
    wx.onNetworkStatusChange(this.networkChanged)
    this.clock = setInterval(() => this.second(), 1000)
  },

  // A running mini program that is opened by another code keeps this page with its old query.
  onShow() {
    arrivals.arrive(wx.getEnterOptionsSync())
    const arrival = arrivals.take()
    if (arrival) this.open(arrival)
    else void this.flow.networkIsBack()
  },

  onUnload() {
    clearInterval(this.clock)
    wx.offNetworkStatusChange(this.networkChanged)
  },

  open(arrival: Parameters<LoginFlow['open']>[0]) {
    this.ticked = []
    this.setData({ match: '', remember: false })
    void this.flow.open(arrival)
  },

  draw(step: Step) {
    const show = { is: step.is, ...NOTHING }
    switch (step.is) {
      case 'robot':
        show.note = fill(t.login.robot, { entry: wx.getEnterOptionsSync().scene })
        break
      case 'nothing':
        show.note = t.login.nothing
        break
      case 'asking':
      case 'sending':
        show.ask = askLines(step.ask, t, config.server)
        show.sending = step.is === 'sending'
        show.sent = step.sent ?? ''
        if (step.is === 'asking' && step.trouble) {
          const { title, say } = explain(step.trouble)
          show.trouble = ofTheNetwork(step.trouble) ? fill(t.login.notSent, { title }) : say
          show.needNumber = step.trouble.code === 'match_required'
        } else if (step.is === 'asking' && step.sent) show.trouble = t.login.noAnswer
        break
      case 'approved':
        show.resultTitle = t.login.done
        show.result = fill(t.login.doneBody, { site: step.ask.site.name })
        break
      case 'denied':
        show.resultTitle = t.login.denied
        show.result = t.login.deniedBody
        break
      case 'failed':
        show.failure = explain(step.failure)
        show.again = step.again
        show.update = step.failure.code === 'update_required'
    }
    this.setData(show)
    this.second()
  },

  second() {
    this.flow?.tick()
    const step = this.flow?.step
    const time = step?.is === 'asking' && !step.sent ? fill(t.login.left, { time: left(step.until - Date.now()) }) : ''
    if (time !== this.data.left) this.setData({ left: time })
  },

  number(event: WechatMiniprogram.Input) {
    this.setData({ match: event.detail.value })
  },
  remember(event: WechatMiniprogram.SwitchChange) {
    this.setData({ remember: event.detail.value })
  },
  tick(event: WechatMiniprogram.SwitchChange<{ name: Scope }>) {
    const { name } = event.currentTarget.dataset
    this.ticked = this.ticked.filter((other) => other !== name)
    if (event.detail.value) this.ticked.push(name)
  },

  approve() {
    const { ask, match, remember } = this.data
    if (!ask) return
    void this.flow.approve({
      ...(ask.match && { match }),
      remember: ask.canRemember && remember,
      scopes: this.ticked,
    })
  },
  deny() {
    void this.flow.deny()
  },
  again() {
    void this.flow.again()
  },
  update() {
    // Downloaded by WeChat itself since the start; before that nothing happens, and the sentence says what to do then.
    wx.getUpdateManager().applyUpdate()
  },
  /** Back to where the person came from: WeChat's own browser, or WeChat itself. It must hang on a tap. */
  leave() {
    wx.exitMiniProgram({ fail: () => this.home() })
  },
  home() {
    wx.reLaunch({ url: '/pages/home/home' })
  },
})
