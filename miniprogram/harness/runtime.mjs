// What WeChat does around pages, in a browser: App, Page, the page stack, life cycles, and `wx`.
// Pages themselves are run by glass-easel, the framework that newer WeChat uses as well.
import { CurrentWindowBackendContext, Event as PageEvent } from 'glass-easel'
import { MiniProgramEnv } from 'glass-easel-miniprogram-adapter'
import { makeWx } from './wx.mjs'

/** Roughly what WeChat gives its built-ins, so that our sheet has the same to overrule. The real look only a phone shows. */
const BUILT_INS = `
  * { -webkit-tap-highlight-color: transparent; }
  body { margin: 0; }
  .wx-bar { position: sticky; top: 0; z-index: 9; height: 44px; display: flex; align-items: center; justify-content: center;
    font: 600 17px sans-serif; background: #f4f5f4; color: #000; }
  .wx-bar .wx-back:not([size=mini]) { position: absolute; left: 4px; width: 44px; height: 44px; padding: 0; border: 0; background: none; color: inherit; font-size: 24px; }
  @media (prefers-color-scheme: dark) { .wx-bar { background: #141615; color: #fff; } body { background: #141615; } }
  .wx-page { display: block; }
  button:not([size=mini]) { width: 184px; margin-left: auto; margin-right: auto; }
  button { position: relative; display: block; padding: 8px 24px; font-size: 17px; font-weight: 700; line-height: 1.41176471;
    text-align: center; border: 0; border-radius: 4px; color: #06ae56; background: #f2f2f2; font-family: inherit; }
  input { font-family: inherit; }
  img { width: 320px; height: 240px; }
  input[type=checkbox] { width: 52px; height: 32px; margin: 0; appearance: none; border-radius: 16px; background: #c4c8c6; position: relative; }
  input[type=checkbox]:checked { background: #04be02; }
  input[type=checkbox]::after { content: ""; position: absolute; left: 2px; top: 2px; width: 28px; height: 28px; border-radius: 50%; background: #fff; }
  input[type=checkbox]:checked::after { left: 22px; }
  input[look=checkbox] { width: 24px; height: 24px; border-radius: 4px; border: 1px solid #888; background: #fff; }
  input[look=checkbox]::after { display: none; }
  input[look=checkbox]:checked::after { display: block; left: 7px; top: 2px; width: 6px; height: 12px; border-radius: 0; background: none;
    border: solid #04be02; border-width: 0 3px 3px 0; transform: rotate(45deg); }
  dialog { max-width: 80vw; border: 0; border-radius: 12px; padding: 20px; font: 17px/1.5 sans-serif; }
  dialog button { display: inline-block !important; width: 45% !important; }
`

export function run({ style, templates, app: loadApp, pages }) {
  const environment = new MiniProgramEnv()
  const space = environment.createCodeSpace('', true)
  const context = new CurrentWindowBackendContext()
  context.onEvent((target, type, _, options) => {
    const { detail } = options.originalEvent
    PageEvent.dispatchEvent(target, new PageEvent(type, typeof detail === 'object' ? detail : {}, options))
  })
  const backend = environment.associateBackend(context)
  const stack = []
  const loaded = new Set()
  let app
  let enterOptions

  const sheet = (id) => document.head.appendChild(Object.assign(document.createElement('style'), { id }))
  sheet('built-ins').textContent = BUILT_INS
  sheet('app').textContent = style
  const pageSheet = sheet('page')
  const bar = document.body.appendChild(document.createElement('header'))
  bar.className = 'wx-bar'
  const title = bar.appendChild(document.createElement('span'))
  const frame = document.body.appendChild(document.createElement('main'))
  frame.className = 'wx-page'
  describeEvents()

  const wx = makeWx({
    enterOptions: () => enterOptions,
    navigateTo: (url) => open(url),
    reLaunch(url) {
      while (stack.length > 0) close()
      open(url)
    },
    navigateBack: back,
    title: (text) => { title.textContent = text },
  })
  Object.assign(globalThis, {
    wx,
    App(options) { app = options },
    getApp: () => app,
    getCurrentPages: () => stack.map((page) => page.self),
  })

  function open(url) {
    const [path, search = ''] = url.replace(/^\//, '').split('?')
    const page = pages.find((candidate) => candidate.path === path)
    if (!page) throw new Error(`no such page: ${path}`)
    if (!loaded.has(path)) {
      loaded.add(path)
      space.addComponentStaticConfig(path, page.config)
      space.addCompiledTemplate(path, { groupList: templates, content: templates[path] })
      space.componentEnv(path, ({ Page }) => {
        globalThis.Page = Page
        page.module()
      })
    }
    stack.at(-1)?.self.onHide?.()
    const root = backend.createRoot('div', space, path)
    const place = document.createElement('div')
    frame.replaceChildren(place)
    root.attach(frame, place)
    stack.push({ root, self: root.get(), style: page.style, element: frame.firstElementChild })
    // WeChat hands queries over as they stand in the address: decoding is the page's own business.
    const query = Object.fromEntries(search.split('&').filter(Boolean).map((pair) => {
      const [name, ...value] = pair.split('=')
      return [name, value.join('=')]
    }))
    show()
    const { self } = stack.at(-1)
    self.onLoad?.(query)
    self.onShow?.()
    self.onReady?.()
  }

  function close() {
    const { root, self } = stack.pop()
    self.onUnload?.()
    root.release()
  }

  function back() {
    if (stack.length < 2) return
    close()
    show()
    stack.at(-1).self.onShow?.()
  }

  function show() {
    const top = stack.at(-1)
    pageSheet.textContent = top.style
    if (frame.firstElementChild !== top.element) frame.replaceChildren(top.element)
    const button = bar.querySelector('.wx-back')
    if (stack.length > 1 && !button) {
      const made = Object.assign(document.createElement('button'), { className: 'wx-back', textContent: '‹', ariaLabel: 'back' })
      made.onclick = back
      bar.prepend(made)
    } else if (stack.length < 2) button?.remove()
  }

  // What the driver calls.
  globalThis.phone = {
    /** A cold start. */
    launch(options) {
      enterOptions = options
      loadApp()
      app.onLaunch?.(options)
      app.onShow?.(options)
      const query = Object.entries(options.query ?? {}).map(([name, value]) => `${name}=${value}`).join('&')
      open(`${options.path}?${query}`)
    },
    hide() {
      stack.at(-1)?.self.onHide?.()
      app.onHide?.()
    },
    /**
     * Back to the foreground. With another path or query WeChat opens that page anew, unless it is on top already;
     * whether it then loads it again is not documented, so `reload` plays both.
     */
    show(options, reload) {
      enterOptions = options
      app.onShow?.(options)
      if (reload || stack.at(-1).root.getComponent().is !== options.path) {
        while (stack.length > 0) close()
        const query = Object.entries(options.query ?? {}).map(([name, value]) => `${name}=${value}`).join('&')
        open(`${options.path}?${query}`)
      } else stack.at(-1).self.onShow?.()
    },
    network: (isConnected) => wx.networkChanged(isConnected),
    path: () => stack.at(-1)?.root.getComponent().is,
  }
}

/** DOM events under the names and with the details that WeChat's built-ins give. */
function describeEvents() {
  const tell = (type, from, value) => from.dispatchEvent(new CustomEvent(type, { detail: value }))
  document.addEventListener('input', ({ target }) => {
    if (target.type !== 'checkbox') tell('wxinput', target, { value: target.value })
  }, true)
  document.addEventListener('change', ({ target }) => {
    if (target.type === 'checkbox') tell('wxchange', target, { value: target.checked })
  }, true)
  document.addEventListener('blur', ({ target }) => {
    if (target.matches?.('input')) tell('wxblur', target, { value: target.value })
  }, true)
  document.addEventListener('click', async ({ target }) => {
    const button = target.closest?.('[open-type=chooseAvatar]')
    if (button) tell('chooseavatar', button, { avatarUrl: (await globalThis.saomaPhone('chooseAvatar', {})).avatarUrl })
  }, true)
  // A bound value is the element's own value in WeChat, not only its first one.
  new MutationObserver((changes) => {
    for (const { target, attributeName } of changes) {
      if (attributeName === 'value') target.value = target.getAttribute('value') ?? ''
      if (attributeName === 'focus' && target.hasAttribute('focus')) target.focus()
      if (attributeName === 'checked') target.checked = target.hasAttribute('checked')
    }
  }).observe(document, { subtree: true, attributes: true, attributeFilter: ['value', 'checked', 'focus'] })
}
