// What ships: it passes strict types, WeChat's own compiler and the names in its templates, it is small,
// and its default build touches no interface that needs a privacy guide.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { deflateRawSync } from 'node:zlib'
import { TmplGroup } from 'glass-easel-template-compiler'
import { hasProfile, withProfile } from './profile.mjs'

const run = promisify(execFile)
const root = fileURLToPath(new URL('..', import.meta.url))
const app = process.env.SAOMA_MINIPROGRAM ?? join(root, 'app')
const tsc = join(root, 'node_modules/.bin/tsc')
const LARGEST = 30_000
/** What an owner may add to that: a logo, and the page for nickname and avatar. */
const OWNERS = /^logo\.|^pages\/profile\//

/** Words of interfaces that WeChat lets nobody call without a privacy guide (its table of interfaces and components). */
const PRIVATE = /chooseAvatar|type="nickname"|getUserProfile|getUserInfo|open-type="userInfo"|getPhoneNumber|getRealtimePhoneNumber|[sg]etClipboardData|getLocation|getFuzzyLocation|startLocationUpdate|choose(Location|Poi|Address|Media|Image|Video|MessageFile|InvoiceTitle|Invoice|LicensePlate)|getWeRunData|saveImageToPhotosAlbum|saveVideoToPhotosAlbum|addPhoneContact|addPhone(Repeat)?Calendar|startRecord|getRecorderManager|<camera|createVKSession|openBluetoothAdapter|startAccelerometer|startCompass|startDeviceMotion|startGyroscope|wx\.authorize/

async function files(folder) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => relative(folder, join(entry.parentPath ?? entry.path, entry.name))).sort()
}

/** A zip's size to the byte: deflated files, a header and an entry in the directory for each, and its end. */
const zipped = (sizes) => Object.entries(sizes).reduce((sum, [path, size]) => sum + size + 30 + 46 + 2 * Buffer.byteLength(path), 22)

async function compiled(folder) {
  const { stdout } = await run('unshare', ['-r', '-n', 'node', join(root, 'tests/compile.mjs'), folder], { maxBuffer: 1 << 24 })
  return JSON.parse(stdout.trim().split('\n').at(-1))
}

describe('what ships', () => {
  test('is clean under strict types', async () => {
    // Another folder than ours is read under the same strict settings.
    const place = join(root, '../target/miniprogram-types')
    await mkdir(place, { recursive: true })
    await writeFile(join(place, 'tsconfig.json'), JSON.stringify({
      extends: relative(place, join(root, 'tsconfig.json')),
      compilerOptions: { rootDirs: [app], typeRoots: [join(root, 'node_modules')] },
      include: [relative(place, app)],
    }))
    for (const project of [root, place]) await run(tsc, ['-p', project], { cwd: root }).catch((error) => assert.fail(error.stdout))
  })

  test('names nothing in its templates that its pages do not have', async () => {
    const place = join(root, '../target/miniprogram-templates')
    await rm(place, { recursive: true, force: true })
    const templates = new TmplGroup()
    const pages = []
    const folders = hasProfile(app) ? [app] : [app, join(root, 'profile')]
    for (const base of folders) {
      const paths = await files(base)
      for (const path of paths.filter((path) => path.endsWith('.wxml'))) {
        const name = path.replace('.wxml', '')
        assert.deepEqual(templates.addTmpl(name, await readFile(join(base, path), 'utf8')), [], path)
        if (name.startsWith('pages/')) pages.push([base, name])
      }
    }
    const body = (name) => templates.getTmplConvertedExpr(name, '').code()
    for (const [base, name] of pages) {
      const source = await readFile(join(base, `${name}.ts`), 'utf8')
      assert.match(source, /^Page\(\{$/m)
      const path = join(place, `${name}.check.ts`)
      await mkdir(dirname(path), { recursive: true })
      await writeFile(path, `${source.replace(/^Page\(\{$/m, 'const page = define({')}
declare function define<D extends WechatMiniprogram.Page.DataOption, M extends WechatMiniprogram.Page.CustomOption>(options: WechatMiniprogram.Page.Options<D, M>): { data: D; methods: M }
export function template(data: typeof page.data, methods: typeof page.methods, tags: any) {${body(name)}}`)
    }
    await writeFile(join(place, 'failure.check.ts'), `import type { FailureLines } from './lib/show'
export function template(tags: any) {${body('failure').replace('const data:any=0', 'const data=0 as unknown as { failure: FailureLines }')}}`)
    await writeFile(join(place, 'tsconfig.json'), JSON.stringify({
      extends: relative(place, join(root, 'tsconfig.json')),
      compilerOptions: {
        noUnusedLocals: false, noUnusedParameters: false, rootDirs: [place, app, join(root, 'profile')],
        typeRoots: [join(root, 'node_modules')],
      },
      include: ['**/*.check.ts', relative(place, join(app, 'lib'))],
    }))
    await run(tsc, ['-p', place], { cwd: root }).catch((error) => assert.fail(error.stdout))
    assert.equal(pages.length, 6)
  })

  test('passes WeChat’s own compiler without a network, and is small', async (t) => {
    const out = await compiled(app)
    for (const page of JSON.parse(await readFile(join(app, 'app.json'), 'utf8')).pages) {
      for (const kind of ['js', 'wxml']) assert.ok(out[`${page}.${kind}`], `${page}.${kind} is missing`)
    }
    for (const [path, { newer }] of Object.entries(out)) assert.equal(newer, undefined, `${path} is beyond ES2020, which an iPhone of 2020 does not read`)
    const size = zipped(Object.fromEntries(Object.entries(out).filter(([path]) => !OWNERS.test(path)).map(([path, { deflated }]) => [path, deflated])))
    const source = zipped(Object.fromEntries(await Promise.all((await files(app)).map(async (path) => [path, deflateRawSync(await readFile(join(app, path)), { level: 9 }).length]))))
    t.diagnostic(`zipped: ${size} bytes as compiled, ${source} as written, with comments`)
    assert.ok(size < LARGEST, `${size} bytes zipped`)
    assert.ok(Object.keys(out).every((path) => !/test|node_modules|README/.test(path)), 'something of ours went along')
  })

  test('with nickname and avatar it passes as well', async () => {
    const out = await withProfile(app, compiled)
    assert.ok(out['pages/profile/profile.js'])
  })

  test('the default build holds no privacy interface', async () => {
    const shipped = hasProfile(app) ? [] : await files(app)
    for (const path of shipped) assert.doesNotMatch(await readFile(join(app, path), 'utf8'), PRIVATE, path)
    await withProfile(app, async (folder) => {
      const found = []
      for (const path of await files(folder)) if (PRIVATE.test(await readFile(join(folder, path), 'utf8'))) found.push(path)
      assert.deepEqual(found, ['pages/profile/profile.wxml'], 'the check would notice them')
    })
  })
})
