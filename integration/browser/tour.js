// A tour of every hosted page of a real server, in one language and by real
// steps: at each page, in each state that looks different, `stop` is told.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { Visitor } from './visitor.js';

const { APP, ADMIN, LOGIN, SHOP, PRINTS, FIRST_LINK, INVITE_LINK } = process.env;
export const locales = { en: 'en-GB', de: 'de-DE' };
export const people = {
  ada: { identifier: 'ada@example.com', password: 'a lantern by the gate' },
  bob: { identifier: 'bob@example.com', password: 'correct horse battery staple' },
  carol: { identifier: 'carol@example.com', password: 'for the first time only' },
};
export const phone = 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1';

export function authorize(client_id, redirect_uri, more = {}) {
  return `${LOGIN}/oauth2/authorize?${new URLSearchParams({
    response_type: 'code', client_id, redirect_uri, scope: 'openid email',
    code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM', code_challenge_method: 'S256', ...more,
  })}`;
}

// messages are the words of the pages in a language.
export async function messages(lang) {
  return JSON.parse(await readFile(new URL(`../../loginui/messages/${lang}.json`, import.meta.url)));
}

// tour calls stop(visitor, name, status) at each page. It leaves everybody
// signed out and can be taken again.
export async function tour(browser, { lang, javascript = true, ...options }, stop) {
  const say = await messages(lang);
  const open = (more) => Visitor.open(browser, { javascript, locale: locales[lang], ...options, ...more });
  const at = async (v, name, heading, status = 200) => {
    assert.equal(await v.heading(), say[heading], `${name}: ${v.url}`);
    assert.equal(v.status, status, name);
    await stop(v, name, status);
  };
  const guest = await open(), v = await open(), other = await open({ userAgent: phone });
  await strangers(guest, at);
  await signedIn(v, at);
  await consents(v, at);
  await account(v, other, at);
  await errors(v, guest, at);
  await leaving(v, at);
  for (const each of [guest, v, other]) await each.close();
}

// strangers are those whom the server does not know yet, or not well enough.
async function strangers(v, at) {
  await v.go(FIRST_LINK);
  await at(v, 'first-account', 'set_password.first');
  await v.go(INVITE_LINK);
  await at(v, 'set-password', 'set_password');
  await v.fill({ password: 'password1' });
  await v.submit();
  await at(v, 'set-password-refused', 'set_password', 400);
  await v.go(authorize('shop', `${SHOP}/callback`));
  await at(v, 'sign-in', 'sign_in');
  await v.signIn('nobody@example.com', 'not the password');
  await at(v, 'sign-in-refused', 'sign_in', 403);
  await v.fill(people.carol);
  await v.submit();
  await at(v, 'change-password-asked', 'change_password');
  await v.fill({ password: people.carol.password });
  await v.submit();
  await at(v, 'change-password-asked-refused', 'change_password', 400);
}

async function signedIn(v, at) {
  await v.go(`${LOGIN}/login`);
  await v.signIn(people.ada.identifier, people.ada.password);
  await at(v, 'signed-in', 'signed_in');
  const choice = authorize('shop', `${SHOP}/callback`, { prompt: 'select_account' });
  await v.go(choice);
  await v.leads(() => v.page.locator('main .go a').click());
  await at(v, 'sign-in-other', 'sign_in');
  await v.signIn(people.bob.identifier, people.bob.password);
  assert.equal(await v.text(), 'the shop');
  await v.go(choice);
  await at(v, 'select-account', 'select_account');
}

async function consents(v, at) {
  const asked = { login_hint: people.ada.identifier, prompt: 'consent' };
  const much = { ...asked, scope: 'openid profile email offline_access photos.read photos.share' };
  await v.go(authorize('prints', 'https://prints.example.com/callback', much));
  await at(v, 'consent', 'consent');
  await v.go(authorize('prints', PRINTS, much));
  await v.submit();
  assert.equal(await v.text(), 'the prints');
  await v.go(authorize('tool', 'http://127.0.0.1:1/callback', { ...asked, scope: 'openid photos.read' }));
  await at(v, 'consent-local', 'consent');
  // Sent at once where there are scripts. The shop says that there is nothing to show, so the page stays.
  const sent = v.javascript && v.page.waitForEvent('requestfailed', (r) => r.url() === `${SHOP}/stay`);
  await v.page.goto(authorize('shop', `${SHOP}/stay`, { login_hint: people.ada.identifier, response_mode: 'form_post' }), { waitUntil: 'commit' });
  await sent;
  await at(v, 'form-post', 'form_post');
}

async function account(v, other, at) {
  await other.go(`${LOGIN}/account`);
  await other.signIn(people.ada.identifier, people.ada.password);
  // The one used last: ada, to whom the shop's choice did not matter.
  await v.go(authorize('shop', `${SHOP}/callback`, { prompt: 'select_account' }));
  await v.leads(() => v.page.getByRole('button', { name: people.ada.identifier }).click());
  await v.go(`${LOGIN}/account`);
  await v.fill({ name: 'Ada Lovelace', given_name: 'Ada', family_name: 'Lovelace', website: 'https://ada.example.com/' });
  await v.submit();
  await at(v, 'account-saved', 'account_page');
  await v.go(`${LOGIN}/account`);
  await at(v, 'account', 'account_page');
  await v.fill({ website: 'not an address' });
  await v.submit();
  await at(v, 'account-refused', 'account_page', 400);
  await v.go(`${LOGIN}/account/password`);
  await at(v, 'change-password', 'change_password');
  await v.fill({ current_password: 'not the password', password: 'quite another lantern' });
  await v.submit();
  await at(v, 'change-password-refused', 'change_password', 403);
  await other.go(`${LOGIN}/logout`);
  await other.submit();
}

async function errors(v, guest, at) {
  await v.go(`${ADMIN}/`);
  await at(v, 'error-forbidden', 'cause.forbidden', 403);
  await v.go(`${APP}/`);
  await v.go(`${APP}/_auth/nothing`);
  await at(v, 'error-not-found', 'cause.not_found', 404);
  await guest.go(`${APP}/`);
  await guest.go(`${APP}/_auth/callback?state=bookmarked&code=used`);
  await at(guest, 'error-stale', 'cause.stale', 400);
  await guest.go(`${LOGIN}/signup?link=used`);
  await at(guest, 'error-link', 'cause.bad_link', guest.status);
  await guest.go(authorize('nobody', `${SHOP}/callback`));
  await at(guest, 'error-client', 'cause.bad_client', guest.status);
  await guest.go(`${LOGIN}/oauth2/authorize?client_id=shop&client_id=shop`);
  await at(guest, 'error-request', 'cause.bad_request', 400);
  await guest.go(authorize('shop', `${SHOP}/callback`));
  await guest.context.clearCookies();
  await guest.signIn(people.ada.identifier, people.ada.password);
  await at(guest, 'error-cookies', 'cause.cookies', guest.status);
  for (let i = 0; i < 3; i++) await guest.go(authorize('shop', `${SHOP}/callback`, { state: 'circle' }));
  await at(guest, 'error-loop', 'cause.loop', guest.status);
  await guest.go(SHOP);
  await post(guest, `${LOGIN}/login`);
  await at(guest, 'error-cross-site', 'cause.cross_site', 403);
}

// post sends a form from the page that is shown.
function post(v, to) {
  return v.leads(() => v.page.evaluate((action) => {
    const form = Object.assign(document.createElement('form'), { method: 'post', action });
    document.body.append(form);
    form.submit();
  }, to));
}

async function leaving(v, at) {
  await v.go(`${LOGIN}/logout?${new URLSearchParams({ client_id: 'shop', post_logout_redirect_uri: `${SHOP}/bye` })}`);
  await at(v, 'sign-out-for', 'confirm_sign_out');
  await v.go(`${LOGIN}/logout`);
  await at(v, 'sign-out', 'confirm_sign_out');
  await v.submit();
  await at(v, 'signed-out', 'signed_out');
  // A form of the application's that was open meanwhile.
  await v.go(`${APP}/_auth/nothing`);
  await post(v, `${APP}/save`);
  await at(v, 'error-ended', 'cause.ended', 401);
}
