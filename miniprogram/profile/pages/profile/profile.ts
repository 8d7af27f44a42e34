import { Failure } from '../../lib/failure'
import type { Saoma } from '../../lib/saoma'
import type { FailureLines } from '../../lib/show'
import { fill } from '../../lib/words'

const { api, config, explain, session, t: { language }, type } = getApp<{ saoma: Saoma }>().saoma

const words = {
  zh: {
    title: '昵称和头像',
    what: '可以不填。填了，也只有你登录时勾选过的网站看得到。',
    avatar: '选择头像',
    nickname: '昵称',
    save: '保存',
    saved: '已保存。',
    tooLarge: '图片太大，请换一张小于 {size} 的。',
  },
  en: {
    title: 'Nickname and avatar',
    what: 'Optional. Only sites for which you ticked them when signing in ever see them.',
    avatar: 'Choose an avatar',
    nickname: 'Nickname',
    save: 'Save',
    saved: 'Saved.',
    tooLarge: 'The picture is too large; take one under {size}.',
  },
}
const t = words[language]

/** Bytes of a picture; base64 of it stays below the server's limit for a profile. */
const LARGEST = 256 * 1024

// In the package only where the owner wants nicknames: both inputs are privacy interfaces (wechat-api.md 5).
Page({
  data: {
    t,
    type,
    avatar: session.person?.avatar ? config.server + session.person.avatar : '',
    nickname: session.person?.nickname ?? '',
    notice: '',
    busy: false,
    failure: null as FailureLines | null,
  },

  /** Base64 of the picture just chosen; empty while the old one stands. */
  picture: '',

  onLoad() {
    wx.setNavigationBarTitle({ title: t.title })
  },

  choose(event: WechatMiniprogram.CustomEvent<{ avatarUrl: string }>) {
    const { avatarUrl } = event.detail
    this.setData({ notice: '', failure: null })
    wx.getFileSystemManager().readFile({
      filePath: avatarUrl,
      encoding: 'base64',
      success: ({ data }) => {
        const picture = String(data)
        if (picture.length * 0.75 > LARGEST) {
          return this.setData({ notice: fill(t.tooLarge, { size: `${LARGEST / 1024} KB` }) })
        }
        this.picture = picture
        this.setData({ avatar: avatarUrl })
      },
      fail: ({ errMsg }) => this.setData({ failure: explain(new Failure('unexpected', '', errMsg)) }),
    })
  },

  /** `blur` as well as `input`: WeChat fills a suggested nickname in without an input event. */
  name(event: WechatMiniprogram.Input) {
    this.setData({ nickname: event.detail.value, notice: '' })
  },

  async save() {
    if (this.data.busy) return
    this.setData({ busy: true, notice: '', failure: null })
    try {
      const profile = { nickname: this.data.nickname.trim(), ...(this.picture && { avatar: this.picture }) }
      session.person = await session.with((token) => api.saveProfile(token, profile))
      this.setData({ notice: t.saved })
    } catch (thrown) {
      this.setData({ failure: explain(thrown) })
    }
    this.setData({ busy: false })
  },
})
