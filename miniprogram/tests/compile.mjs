// WeChat's own compiler over a mini program folder, without a network and without an account.
// Usage: node compile.mjs FOLDER; prints the compiled files as JSON
// {path: {bytes, deflated, newer?}}, where `newer` says what a script uses beyond ES2020, or the error, and exits 1.
import { parse } from 'acorn'
import ci from 'miniprogram-ci'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { deflateRawSync } from 'node:zlib'

const folder = resolve(process.argv[2] ?? '')
// The compiler writes next to what it reads, and leaves folders where it is run, so it gets a copy and is run there.
const copy = await mkdtemp(join(tmpdir(), 'saoma-compile-'))
const say = console.log
console.log = console.error
try {
  await cp(folder, copy, { recursive: true })
  process.chdir(copy)
  const project = new ci.Project({
    appid: 'wx0000000000000000', type: 'miniProgram', projectPath: copy, privateKey: 'none', ignores: [],
  })
  // What WeChat would answer for the AppID; asking it would need the network and a key.
  const attributes = {
    platform: false, appType: 0, isSandbox: false, released: false,
    setting: {
      MaxCodeSize: 2, MaxSubpackageSubCodeSize: 2, MaxSubpackageFullCodeSize: 20, NavigateMiniprogramLimit: 10,
      MaxSubPackageLimit: 100, MinTabbarCount: 2, MaxTabbarCount: 5, MaxCustomTabbarCount: 5, MaxTabbarIconSize: 40,
    },
  }
  project.attr = async () => attributes
  const compiled = await ci.getCompiledResult({
    project, version: '0', desc: '', setting: { es6: false, es7: false, minifyJS: true, minifyWXML: true, minifyWXSS: true }, onProgressUpdate() {},
  })
  say(JSON.stringify(Object.fromEntries(Object.entries(compiled).map(([path, body]) => [path, { bytes: Buffer.byteLength(body), deflated: deflateRawSync(body).length, newer: path.endsWith('.js') ? beyond2020(String(body)) : undefined }]))))
} catch (error) {
  console.error(error)
  process.exitCode = 1
} finally {
  await rm(copy, { recursive: true, force: true })
}
// The compiler leaves workers behind.
process.exit()

function beyond2020(script) {
  try {
    parse(script, { ecmaVersion: 2020, sourceType: 'script' })
    return undefined
  } catch (error) {
    return error.message
  }
}
