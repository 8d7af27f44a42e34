import { config } from './config'
import { type Saoma, saoma } from './lib/saoma'

// A launch asks nothing of WeChat and nothing of the server; it only notes how it came about.
App<{ saoma: Saoma }>({
  saoma: saoma(wx, config),
  onLaunch(options) {
    this.saoma.arrivals.arrive(options)
  },
  onShow(options) {
    this.saoma.arrivals.arrive(options)
  },
})
