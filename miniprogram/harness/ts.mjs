// Lets node run the mini program's modules as they are: `node --import ./harness/ts.mjs`.
import { register } from 'node:module'
register('./ts-hooks.mjs', import.meta.url)
