// `wx` in a browser. What it cannot know itself it asks the driver for, through the one exposed function `saomaPhone`.
// An API that is missing here throws, so that nobody uses one untested.

export function makeWx(pages) {
  const settings = globalThis.saomaSettings
  const ask = (what, detail) => globalThis.saomaPhone(what, detail)
  const storage = new Map()
  const watchers = new Set()
  const files = new Map()

  /** Calls back as WeChat does: later, and `complete` last. */
  const answer = (options, promise) => {
    promise.then(
      (result) => { options.success?.(result); options.complete?.(result) },
      (fail) => { options.fail?.(fail); options.complete?.(fail) },
    )
  }
  const outcome = async (what, detail) => {
    const { fail, ...result } = await ask(what, detail)
    if (fail) throw fail
    return result
  }

  const wx = {
    env: { USER_DATA_PATH: 'wxfile://usr' },
    getAppBaseInfo: () => ({
      language: settings.language, version: '8.0.60', SDKVersion: '3.8.12', theme: settings.theme,
      fontSizeScaleFactor: settings.type, fontSizeSetting: 16 * settings.type,
    }),
    getDeviceInfo: () => ({ platform: 'android' }),
    getAccountInfoSync: () => ({ miniProgram: { appId: 'wx0000000000000000', envVersion: settings.env, version: '' } }),
    getEnterOptionsSync: pages.enterOptions,
    login: (options) => answer(options, outcome('login', {})),
    request(options) {
      const { url, method, data, header, timeout } = options
      answer(options, outcome('request', { url, method, data, header, timeout }))
    },
    scanCode: (options) => answer(options, outcome('scanCode', { onlyFromCamera: options.onlyFromCamera, scanType: options.scanType })),
    navigateTo: ({ url }) => pages.navigateTo(url),
    navigateBack: () => pages.navigateBack(),
    reLaunch: ({ url }) => pages.reLaunch(url),
    setNavigationBarTitle: ({ title }) => pages.title(title),
    onNetworkStatusChange: (watcher) => watchers.add(watcher),
    offNetworkStatusChange: (watcher) => watchers.delete(watcher),
    networkChanged: (isConnected) => watchers.forEach((watcher) => watcher({ isConnected, networkType: isConnected ? 'wifi' : 'none' })),
    getStorageSync: (key) => storage.get(key) ?? '',
    setStorageSync: (key, value) => void storage.set(key, value),
    removeStorageSync: (key) => void storage.delete(key),
    stopPullDownRefresh() {},
    getUpdateManager: () => ({ applyUpdate: () => void ask('applyUpdate', {}) }),
    exitMiniProgram(options = {}) {
      // WeChat allows it on a tap only.
      const tapped = navigator.userActivation.isActive
      answer(options, tapped ? outcome('exit', {}) : Promise.reject({ errMsg: 'exitMiniProgram:fail can only be invoked by user TAP gesture' }))
    },
    showModal(options) {
      const dialog = document.createElement('dialog')
      dialog.append(Object.assign(document.createElement('p'), { textContent: options.content }))
      answer(options, new Promise((resolve) => {
        for (const [text, confirm] of [[options.cancelText, false], [options.confirmText, true]]) {
          const button = Object.assign(document.createElement('button'), { textContent: text })
          button.onclick = () => { dialog.remove(); resolve({ confirm, cancel: !confirm }) }
          dialog.append(button)
        }
      }))
      document.body.append(dialog)
      dialog.showModal()
    },
    getFileSystemManager: () => ({
      writeFile(options) { files.set(options.filePath, options.data); answer(options, Promise.resolve({})) },
      readFile: (options) => answer(options, outcome('readFile', { filePath: options.filePath })),
    }),
    shareFileMessage: (options) => answer(options, outcome('share', { filePath: options.filePath, content: files.get(options.filePath) })),
  }
  return new Proxy(wx, {
    get(target, name) {
      if (!(name in target)) throw new Error(`wx.${String(name)} is not in the harness`)
      return target[name]
    },
  })
}
