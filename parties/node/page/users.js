const { UserManager } = globalThis.oidc; // The library as a plain script; bundlers import it by its name.

// `?scope=` is for the trials; a page of yours names its own.
const scope = new URL(location).searchParams.get('scope') ?? sessionStorage.scope ?? 'openid profile';
sessionStorage.scope = scope;

export const users = new UserManager({
  authority: sessionStorage.issuer ??= new URL(location).searchParams.get('issuer'),
  client_id: 'page',
  scope,
  redirect_uri: `${location.origin}/callback.html`,
  post_logout_redirect_uri: `${location.origin}/`,
  loadUserInfo: true,
});
