// The package as `saoma miniprogram` writes it where the owner wants nicknames: the optional page laid over it.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Whether a folder has the page already. */
export const hasProfile = (app) => existsSync(join(app, 'pages/profile'))

export async function withProfile(app, use) {
  if (hasProfile(app)) return use(app)
  const folder = await mkdtemp(join(tmpdir(), 'saoma-profile-'))
  try {
    await cp(app, folder, { recursive: true })
    await cp(fileURLToPath(new URL('../profile', import.meta.url)), folder, { recursive: true })
    const appJson = JSON.parse(await readFile(join(folder, 'app.json'), 'utf8'))
    appJson.pages.push('pages/profile/profile')
    await writeFile(join(folder, 'app.json'), JSON.stringify(appJson))
    const config = await readFile(join(folder, 'config.ts'), 'utf8')
    assert.match(config, /profile: false/)
    await writeFile(join(folder, 'config.ts'), config.replace('profile: false', 'profile: true'))
    return await use(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
