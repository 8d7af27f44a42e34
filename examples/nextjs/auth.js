import NextAuth from 'next-auth';

// Auth.js reads AUTH_SAOMA_ISSUER, AUTH_SAOMA_ID and AUTH_SAOMA_SECRET by itself: see .env.
export const { handlers, auth, signIn, signOut } = NextAuth({
  providers: [
    {
      id: 'saoma',
      name: 'WeChat',
      type: 'oidc',
      checks: ['pkce', 'state', 'nonce'],
      authorization: { params: { scope: 'openid profile' } },
    },
  ],
  callbacks: {
    // `sub` is who it is, the same for ever; Auth.js gives each sign-in an id of its own otherwise.
    session: ({ session, token }) => ({ ...session, user: { ...session.user, id: token.sub } }),
    jwt: ({ token, profile }) => (profile ? { ...token, sub: profile.sub } : token),
  },
});
