import { auth, signIn, signOut } from '../auth.js';

async function toWeChat() {
  'use server';
  await signIn('saoma');
}

async function out() {
  'use server';
  await signOut();
}

export default async function Page() {
  const session = await auth();
  if (!session) {
    return (
      <form action={toWeChat}>
        <p>Nobody is signed in.</p>
        <button>Sign in with WeChat</button>
      </form>
    );
  }
  return (
    <form action={out}>
      <p>
        Hello, <strong id="name">{session.user.name}</strong>.
      </p>
      <button>Sign out</button>
    </form>
  );
}
