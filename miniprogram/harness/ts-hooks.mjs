import { transform } from 'esbuild'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'

/** Our modules name each other without an ending, as WeChat's compiler wants it. */
export function resolve(specifier, context, next) {
  const ours = context.parentURL?.endsWith('.ts') && specifier.startsWith('.')
  return next(ours ? `${specifier}.ts` : specifier, context)
}

export async function load(url, context, next) {
  if (!url.endsWith('.ts')) return next(url, context)
  const { code } = await transform(await readFile(fileURLToPath(url), 'utf8'), { loader: 'ts', format: 'esm', sourcemap: 'inline' })
  return { format: 'module', source: code, shortCircuit: true }
}
