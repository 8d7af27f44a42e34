// Who is registered with saoma, and what each of them is to be unlike the others in: between them they use every way that
// discovery offers.

/** A secret that has to be encoded in HTTP Basic (RFC 6749 section 2.3.1), which some libraries do and others do not. */
const AWKWARD = 'a+b%41/c:d=e&f g?';

const redirect = (base) => ({ redirect_uris: [`${base}/callback`], post_logout_redirect_uris: [`${base}/bye`] });

/** The sites of one program that serves several, each below a path of its own. */
export const below = (origin, sites) => sites.map((site) => ({ ...site, base: `${origin}/${site.id}`, ...redirect(`${origin}/${site.id}`) }));

export const OPENID_CLIENT = [
  { id: 'node-basic', secret: AWKWARD, alg: 'RS256', auth: 'basic', mode: 'query', pkce: 'required' },
  { id: 'node-post', secret: AWKWARD, alg: 'ES256', auth: 'post', mode: 'form_post', pkce: 'required', pushed: true, access_token: 'jwt' },
  { id: 'node-nonce', secret: AWKWARD, alg: 'RS256', auth: 'basic', mode: 'query', pkce: 'if-sent' },
];

export const AUTHLIB = [
  { id: 'python-basic', secret: AWKWARD, alg: 'RS256', auth: 'basic', mode: 'query', pkce: 'required' },
  { id: 'python-post', secret: AWKWARD, alg: 'ES256', auth: 'post', mode: 'form_post', pkce: 'required' },
  { id: 'python-nonce', secret: AWKWARD, alg: 'ES256', auth: 'basic', mode: 'query', pkce: 'if-sent' },
];

/** What saoma.toml says of a site. */
export function toml(site) {
  const settings = {
    id: site.id, name: `A site of ${site.id}`, redirect_uris: site.redirect_uris, post_logout_redirect_uris: site.post_logout_redirect_uris,
    origins: site.origins ?? [], secret: site.secret ?? '', alg: site.alg, pkce: site.pkce, email: '{username}@users.example.com',
    ...(site.access_token && { access_token: site.access_token }),
    ...(site.backchannel_logout_uri && { backchannel_logout_uri: site.backchannel_logout_uri, backchannel_private: true }),
  };
  // JSON's strings and lists are TOML's too.
  return `[[site]]\n${Object.entries(settings).map(([name, value]) => `${name} = ${JSON.stringify(value)}\n`).join('')}`;
}

/** Two virtual hosts of one Apache: a cookie, a query and introspection; a posted answer and JWTs. */
export function apache(basicPort, postPort) {
  const host = (port, site) => {
    const base = `http://apache.localhost:${port}`;
    return { ...site, secret: AWKWARD, base, redirect_uris: [`${base}/callback`], post_logout_redirect_uris: [`${base}/bye.html`], pkce: 'required' };
  };
  const basic = host(basicPort, { id: 'apache-basic', alg: 'RS256', mode: 'query' });
  basic.backchannel_logout_uri = `http://127.0.0.1:${basicPort}/callback?logout=backchannel`;
  return [basic, host(postPort, { id: 'apache-post', alg: 'ES256', mode: 'form_post', access_token: 'jwt' })];
}

/** A page without a server: no secret, and tokens fetched across origins. It and saoma are of one site, as they mostly are. */
export const page = (port) => {
  const base = `http://127.0.0.1:${port}`;
  return { id: 'page', base, alg: 'RS256', pkce: 'required', redirect_uris: [`${base}/callback.html`], post_logout_redirect_uris: [`${base}/`], origins: [base] };
};
