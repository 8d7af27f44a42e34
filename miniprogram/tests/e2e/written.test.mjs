// What `saoma miniprogram` writes, names that bite included, passes the checks that the source passes.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { BINARY, NASTY } from './world.mjs'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))

test('strict types, WeChat’s own compiler, names in templates, size', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'saoma-written-'))
  try {
    const out = join(folder, 'mini')
    await run(BINARY, [
      'miniprogram', '--out', out, '--appid', 'wx0123456789abcdef', '--server', 'https://login.example.com', '--name', NASTY,
      '--operator', '`${x}` \\ <!-- {{t}} "', '--contact', "it's@example.com", '--color', '#ffd54f', '--profile',
    ], { cwd: folder })
    const checks = ['--import', './harness/ts.mjs', '--test', 'tests/package.test.mjs']
    const { NODE_TEST_CONTEXT: _, ...env } = process.env
    await run('node', checks, { cwd: root, env: { ...env, SAOMA_MINIPROGRAM: out } }).catch(({ stdout }) => assert.fail(stdout))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})
