// Turns a mini program folder into one script and one style sheet for Chromium.
// Templates go through glass-easel's own compiler, with WeChat's built-in components written as DOM elements.
import { build as bundle } from 'esbuild'
import { readFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { TmplGroup } from 'glass-easel-template-compiler'

const here = dirname(fileURLToPath(import.meta.url))

/** @returns {Promise<{folder: string, script: string, server: string}>} what `Phone.on` takes */
export async function build(folder) {
  folder = resolve(folder)
  const read = (path) => readFile(join(folder, path), 'utf8')
  // A page without settings of its own has no file for them.
  const json = async (path) => (existsSync(join(folder, path)) ? JSON.parse(await read(path)) : {})
  const app = await json('app.json')

  const templates = new TmplGroup()
  const add = async (path) => {
    const source = await read(`${path}.wxml`)
    const problems = templates.addTmpl(path, toDom(source))
    if (problems.length > 0) throw new Error(`${path}.wxml: ${problems.map((p) => p.message ?? String(p)).join('; ')}`)
    for (const dependency of templates.getDirectDependencies(path)) await add(dependency)
  }
  for (const page of app.pages) await add(page)

  const sheet = async (path) => (existsSync(join(folder, path)) ? toCss(await withImports(path, read)) : '')
  const pages = await Promise.all(app.pages.map(async (path) => ({
    path, config: await json(`${path}.json`), style: await sheet(`${path}.wxss`),
  })))

  const entry = `
    import { run } from ${JSON.stringify(join(here, 'runtime.mjs'))}
    run({
      style: ${JSON.stringify(await sheet('app.wxss'))},
      templates: (() => { ${'return ' + templates.getTmplGenObjectGroups()} })(),
      app: () => require('./app.ts'),
      pages: [${pages.map((page) => `{ ...${JSON.stringify(page)}, module: () => require('./${page.path}.ts') }`).join(',')}],
    })`
  const out = await bundle({
    stdin: { contents: entry, resolveDir: folder, sourcefile: 'entry.js' },
    bundle: true, write: false, format: 'iife', target: 'chrome120', logLevel: 'error',
    nodePaths: [join(here, '../node_modules')],
  })
  const { config } = await import(`data:text/javascript;base64,${Buffer.from((await bundle({
    entryPoints: [join(folder, 'config.ts')], bundle: true, write: false, format: 'esm',
  })).outputFiles[0].contents).toString('base64')}`)
  return { folder, script: out.outputFiles[0].text, server: config.server }
}

/** WXSS to CSS: rpx are 750ths of the width, `page` is our frame, and the navigation bar is part of the window here. */
export function toCss(wxss) {
  return wxss
    .replace(/(\d*\.?\d+)rpx/g, (_, n) => `${(Number(n) / 7.5).toFixed(4)}vw`)
    .replace(/100vh/g, 'calc(100vh - 44px)')
    .replace(/(^|[\s,}])page(?=[\s,{])/g, '$1.wx-page')
}

async function withImports(path, read) {
  const source = await read(path)
  const parts = []
  let rest = source
  for (const [statement, target] of source.matchAll(/@import\s+"([^"]+)";/g)) {
    parts.push(await withImports(join(dirname(path), target), read))
    rest = rest.replace(statement, '')
  }
  return [...parts, rest].join('\n')
}

const ELEMENTS = { view: 'div', text: 'span', image: 'img', switch: 'input' }
const EVENTS = { tap: 'click', input: 'wxinput', change: 'wxchange', blur: 'wxblur' }
const KNOWN = new Set(['view', 'text', 'image', 'switch', 'button', 'input', 'label', 'block', 'template', 'import'])

/** Built-in components as DOM elements, so that roles, clicks and axe mean what they mean in a browser. */
export function toDom(wxml) {
  return wxml.replace(/<(\/?)([a-z-]+)((?:[^"'<>]|"[^"]*"|'[^']*')*?)(\/?)>/g, (_, close, tag, attributes, self) => {
    if (!KNOWN.has(tag)) throw new Error(`<${tag}> has no counterpart in the harness`)
    if (close) return `</${ELEMENTS[tag] ?? tag}>`
    let rest = attributes
      .replace(/\sbind:([a-z]+)=/g, (_, name) => ` bind:${EVENTS[name] ?? name}=`)
      .replace(/\saria-role=/g, ' role=')
      .replace(/\splaceholder-class="[^"]*"/, '')
    if (tag === 'input') rest = rest.replace(/\stype="number"/, ' type="text" inputmode="numeric"').replace(/\stype="nickname"/, ' type="text"')
    if (tag === 'switch') rest = rest.replace(/\stype="checkbox"/, ' look="checkbox"') + ' type="checkbox"'
    if (tag === 'button') rest += ' type="button"'
    if (tag === 'image') rest += ' alt=""'
    return `<${ELEMENTS[tag] ?? tag}${rest}${self}>`
  })
}

