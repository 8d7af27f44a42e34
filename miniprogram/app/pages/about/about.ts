import type { Saoma } from '../../lib/saoma'
import { hostOf } from '../../lib/show'
import { fill } from '../../lib/words'

const { client, config, t, type } = getApp<{ saoma: Saoma }>().saoma
const { contact, filing, operator, version } = config
const name = config.name[t.language]
const host = hostOf(config.server)

Page({
  data: {
    t: t.about,
    type,
    what: fill(t.about.what, { name, operator }),
    privacy: [...t.about.privacy, ...(config.profile ? [t.about.privacyProfile] : [])].map((line) => fill(line, { host })),
    contact: fill(t.about.contact, { operator }),
    contactHow: fill(t.about.contactHow, { contact }),
    filing: filing && fill(t.about.filing, { filing }),
    version: [fill(t.about.version, { version }), t.about.environment[client.env]].filter(Boolean).join(' '),
  },

  onLoad() {
    wx.setNavigationBarTitle({ title: t.about.title })
  },
})
