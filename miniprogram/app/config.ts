// Written by `saoma miniprogram`; what is checked in here are the defaults that the tests use.
import type { Config } from './lib/saoma'

export const config: Config = {
  server: 'https://login.example.com',
  name: { zh: '扫码登录', en: 'Sign-in by scan' },
  sites: [{ name: 'My blog', host: 'blog.example.com' }],
  logo: '/logo.svg',
  operator: 'Example Owner',
  contact: 'owner@example.com',
  filing: '',
  version: '0.1.0',
  profile: false,
}
