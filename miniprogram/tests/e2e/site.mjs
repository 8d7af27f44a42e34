// A small site that lets people sign in through saoma: an OpenID Connect client of a page, without a library.
import { createHash, randomBytes } from 'node:crypto'
import { createServer } from 'node:http'

/** Long enough for a PKCE verifier, which has 43 characters at least (RFC 7636 section 4.1). */
const random = () => randomBytes(33).toString('base64url')

export class Site {
  /** Visitors by their cookie: {begun?: {state, nonce, verifier}, person?}. */
  visitors = new Map()

  static async start(port, saoma, id) {
    const site = new Site()
    Object.assign(site, { url: `http://site.localhost:${port}`, saoma, id })
    site.http = createServer((request, response) => {
      site.answer(request, response).catch((error) => response.writeHead(500).end(String(error.stack)))
    })
    await new Promise((resolve) => site.http.listen(port, '127.0.0.1', resolve))
    return site
  }

  stop() {
    this.http.closeAllConnections()
    return new Promise((resolve) => this.http.close(resolve))
  }

  async answer(request, response) {
    const url = new URL(request.url, this.url)
    const visitor = this.visitors.get(/site=([\w-]+)/.exec(request.headers.cookie ?? '')?.[1])
    if (url.pathname === '/sign-in') {
      const [cookie, state, nonce, verifier] = [random(), random(), random(), random()]
      this.visitors.set(cookie, { begun: { state, nonce, verifier } })
      const query = new URLSearchParams({
        response_type: 'code', client_id: this.id, redirect_uri: `${this.url}/callback`, scope: 'openid profile', state, nonce,
        code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256',
      })
      return response.writeHead(302, { location: `${this.saoma}/oauth2/authorize?${query}`, 'set-cookie': `site=${cookie}; HttpOnly; SameSite=Lax; Path=/` }).end()
    }
    if (url.pathname === '/callback') {
      await this.finish(visitor, url.searchParams)
      return response.writeHead(302, { location: '/' }).end()
    }
    const nobody = visitor?.refused ? `Nobody is signed in: ${visitor.refused}` : 'Nobody is signed in'
    const said = visitor?.person ? `Signed in as ${visitor.person.name}` : nobody
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(`<!doctype html><title>site</title><p>${said}</p>`)
  }

  /** Redeems the code and asks who it is. Whatever does not fit together is an error, and nobody is signed in. */
  async finish(visitor, given) {
    const begun = visitor?.begun
    if (!begun || given.get('state') !== begun.state) throw new Error('not a sign-in that this browser began')
    delete visitor.begun
    if (given.get('iss') !== this.saoma) throw new Error(`another issuer: ${given.get('iss')}`)
    if (given.has('error')) return void (visitor.refused = given.get('error'))
    const form = new URLSearchParams({
      grant_type: 'authorization_code', code: given.get('code'), redirect_uri: `${this.url}/callback`, client_id: this.id, code_verifier: begun.verifier,
    })
    const answer = await fetch(`${this.saoma}/oauth2/token`, { method: 'POST', body: form })
    const tokens = await answer.json()
    if (!answer.ok) throw new Error(`no token: ${JSON.stringify(tokens)}`)
    const claims = JSON.parse(Buffer.from(tokens.id_token.split('.')[1], 'base64url'))
    if (claims.nonce !== begun.nonce || claims.aud !== this.id || claims.iss !== this.saoma) throw new Error(`not our id_token: ${JSON.stringify(claims)}`)
    const person = await (await fetch(`${this.saoma}/oauth2/userinfo`, { headers: { authorization: `Bearer ${tokens.access_token}` } })).json()
    if (person.sub !== claims.sub) throw new Error('userinfo is of somebody else')
    visitor.person = person
  }
}
