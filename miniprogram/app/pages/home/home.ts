import { digitsOf, ticketOfCode } from '../../lib/entry'
import { Failure, ofScanner } from '../../lib/failure'
import type { Saoma } from '../../lib/saoma'
import type { FailureLines } from '../../lib/show'

const { arrivals, config, explain, t, type } = getApp<{ saoma: Saoma }>().saoma

// Of use to a guest as it is; nothing here asks WeChat who somebody is.
Page({
  data: {
    t: t.home,
    type,
    logo: config.logo,
    name: config.name[t.language],
    sites: config.sites,
    what: config.sites.length > 0 ? t.home.what : t.home.anySite,
    steps: [t.home.step1, t.home.step2, t.home.step3],
    filing: config.filing,
    digits: '',
    digitsWrong: false,
    failure: null as FailureLines | null,
  },

  onLoad() {
    wx.setNavigationBarTitle({ title: config.name[t.language] })
  },

  scan() {
    this.setData({ failure: null })
    // Live camera only: the server is told "camera", and a picture from the album must not pass for one.
    wx.scanCode({
      onlyFromCamera: true,
      scanType: ['qrCode', 'wxCode'],
      success: (code) => {
        const ticket = ticketOfCode(code)
        if (ticket === undefined) return this.setData({ failure: explain(new Failure('not_our_code')) })
        arrivals.camera(ticket)
        wx.navigateTo({ url: '/pages/login/login' })
      },
      fail: (fail) => {
        const failure = ofScanner(fail)
        if (failure) this.setData({ failure: explain(failure) })
      },
    })
  },

  type(event: WechatMiniprogram.Input) {
    this.setData({ digits: event.detail.value, digitsWrong: false })
  },

  enter() {
    const digits = digitsOf(this.data.digits)
    if (digits === undefined) return this.setData({ digitsWrong: true })
    arrivals.typed(digits)
    this.setData({ digits: '' })
    wx.navigateTo({ url: '/pages/login/login' })
  },

  logins() {
    wx.navigateTo({ url: '/pages/logins/logins' })
  },
  me() {
    wx.navigateTo({ url: '/pages/me/me' })
  },
  about() {
    wx.navigateTo({ url: '/pages/about/about' })
  },
})
