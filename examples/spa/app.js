'use strict';

const login = 'https://login.example.com';
const api = 'https://api.example.com';
const home = location.origin + '/';

// The library keeps the tokens in this tab's sessionStorage, sends PKCE by
// itself, and renews the access token before it expires.
const manager = new oidc.UserManager({
  authority: login,
  client_id: 'spa',
  redirect_uri: home,
  post_logout_redirect_uri: home,
  scope: 'openid profile email offline_access orders.read',
  loadUserInfo: true, // name and email as the login host knows them now
});

const element = (id) => document.getElementById(id);

async function show() {
  const user = await manager.getUser();
  const known = Boolean(user) && !user.expired;
  element('who').textContent = known ? `Signed in as ${user.profile.name ?? user.profile.email}.` : 'Nobody is signed in.';
  element('member').hidden = !known;
  element('stranger').hidden = known;
}

// arrive takes the answer of the login host out of the address: after a
// sign-in a code or an error, after a sign-out the state alone.
async function arrive() {
  const answer = new URLSearchParams(location.search);
  if (!answer.has('state')) return;
  try {
    if (answer.has('code') || answer.has('error')) await manager.signinRedirectCallback();
    else await manager.signoutRedirectCallback();
  } finally {
    history.replaceState(null, '', home); // a code must not stay in the history
  }
}

async function call() {
  const user = await manager.getUser();
  const response = await fetch(api + '/orders', { headers: { Authorization: `Bearer ${user?.access_token}` } });
  element('answer').textContent = `${response.status} ${await response.text()}`;
}

// forget is for a refresh token that is refused, for one because the person
// has signed out elsewhere: only a new sign-in helps.
async function forget(error) {
  if (error instanceof oidc.ErrorResponse) await manager.removeUser();
  throw error;
}

const renew = () => manager.signinSilent().catch(forget);
const signIn = () => manager.signinRedirect();

// signOut ends the session at the login host too, which then sends people back.
const signOut = () => manager.signoutRedirect();

// attempt runs a step and tells people what went wrong.
async function attempt(step) {
  element('problem').textContent = '';
  try {
    await step();
  } catch (error) {
    element('problem').textContent = `That did not work: ${error.message}`;
  }
  await show();
}

for (const [id, step] of Object.entries({ 'sign-in': signIn, 'sign-out': signOut, call, renew })) {
  element(id).addEventListener('click', () => attempt(step));
}
manager.events.addUserLoaded(show);
manager.events.addUserUnloaded(show);
manager.events.addAccessTokenExpired(show);
manager.events.addSilentRenewError((error) => attempt(() => forget(error)));
attempt(arrive);
