// What people do with several accounts, with what applications ask them for,
// and with what is theirs. pages_test.go starts a server for it and names the
// parts to walk.
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Visitor, launch, launchOwn } from './visitor.js';
import { inspect } from './inspect.js';
import { authorize, people, phone } from './tour.js';

const { APP, LOGIN, SHOP, PRINTS } = process.env;
const javascript = process.env.JAVASCRIPT === 'on';
const { ada, bob, carol } = people;
const verifier = 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk'; // of tour.js's challenge (RFC 7636, appendix B)
const redirect = `${SHOP}/callback`;

const browser = await launch();
const visit = (more) => Visitor.open(browser, { javascript, locale: 'en-GB', ...more });
const button = (v, name) => v.leads(() => v.page.getByRole('button', { name, exact: true }).click());
const link = (v, name) => v.leads(() => v.page.getByRole('link', { name, exact: true }).click());
const back = (v) => v.leads(() => v.page.goBack());
const answer = (v) => new URL(v.url).searchParams;
const status = (v) => v.page.locator('[role=status]').innerText();
const alert = (v) => v.page.locator('[role=alert]').innerText();

// inTab does something in another tab of the same browser.
async function inTab(v, action) {
  const tab = Object.assign(Object.create(v), { page: await v.context.newPage() });
  tab.follow(tab.page);
  const out = await action(tab);
  return out ?? tab;
}

// close asserts first that the browser had nothing to complain of and asked
// nobody but those who belong here.
async function close(...all) {
  for (const v of all) {
    const home = v.requests.filter((r) => new URL(r).pathname === '/welcome').map((r) => new URL(r).origin);
    v.quiet([LOGIN, APP, SHOP, new URL(PRINTS).origin, ...home]);
    await v.close();
  }
}

// redeem buys the tokens for which the browser was sent back to the shop.
async function redeem(v) {
  const body = new URLSearchParams({ grant_type: 'authorization_code', client_id: 'shop', code: answer(v).get('code'), redirect_uri: redirect, code_verifier: verifier }).toString();
  const { host, port } = new URL(LOGIN);
  const text = await new Promise((resolve, reject) => {
    const headers = { host, 'content-type': 'application/x-www-form-urlencoded', 'content-length': body.length };
    request({ host: '127.0.0.1', port, path: '/oauth2/token', method: 'POST', headers }, (res) => {
      let got = '';
      res.on('data', (part) => { got += part; }).on('end', () => resolve(got));
    }).on('error', reject).end(body);
  });
  const { id_token } = JSON.parse(text);
  assert.ok(id_token, text);
  return { id_token, email: JSON.parse(Buffer.from(id_token.split('.')[1], 'base64url')).email };
}

async function atShop(v) {
  assert.equal(await v.text(), 'the shop', v.url);
  return redeem(v);
}

async function consent() {
  const asks = (more) => authorize('prints', PRINTS, { scope: 'openid email photos.read', state: 'of the prints', ...more });
  const granted = (v) => {
    assert.equal(v.url.split('?')[0], PRINTS);
    assert.ok(answer(v).get('code'), v.url);
    assert.equal(answer(v).get('state'), 'of the prints');
  };
  const v = await visit();
  await v.go(asks());
  await v.signIn(ada.identifier, ada.password);
  assert.equal(await v.heading(), 'Allow access?');
  for (const told of [/Lantern Prints asks/, /prints\.gatehouse\.test/, /ada@example\.com/, /photos\.read/, /See your email address/]) assert.match(await v.text(), told);
  await inspect(v);

  await button(v, 'Don’t allow');
  assert.equal(v.url.split('?')[0], PRINTS);
  assert.deepEqual([answer(v).get('error'), answer(v).get('code'), answer(v).get('state'), answer(v).get('iss')], ['access_denied', null, 'of the prints', LOGIN]);
  await back(v);
  assert.equal(await v.heading(), 'Allow access?', 'a refusal is not remembered');

  const tab = await inTab(v, (t) => t.go(asks()));
  await button(v, 'Allow');
  granted(v);
  await button(tab, 'Allow');
  granted(tab);
  await back(v);
  granted(v); // nothing to ask again

  const later = await visit();
  await later.go(asks());
  await later.signIn(ada.identifier, ada.password);
  granted(later); // remembered, in another browser too
  await later.go(asks({ scope: 'openid email photos.read photos.share' }));
  assert.equal(await later.heading(), 'Allow access?', 'more is asked for');
  await later.go(asks({ prompt: 'consent' }));
  assert.equal(await later.heading(), 'Allow access?', 'the application wants it asked');
  await close(later);

  await v.go(`${LOGIN}/account`);
  await button(v, 'Withdraw: Lantern Prints');
  assert.equal(await status(v), 'Access is withdrawn.');
  assert.doesNotMatch(await v.text(), /Lantern Prints/);
  await v.go(asks());
  assert.equal(await v.heading(), 'Allow access?', 'after it was withdrawn');
  await link(v, 'Use another account');
  assert.equal(await v.heading(), 'Choose an account');
  await close(v);
}

// The answer by a form: at once where there are scripts, else by a button.
async function formPost() {
  const v = await visit(), arrived = /\/welcome\?/;
  const start = authorize('shop', redirect, { response_mode: 'form_post', state: 'of the shop' });
  const through = async () => {
    if (javascript) await v.page.waitForURL(arrived);
    else {
      assert.equal(await v.heading(), 'One moment');
      assert.match(await v.text(), /taken back to The shop/);
      await button(v, 'Continue');
    }
    assert.deepEqual([answer(v).get('state'), answer(v).get('iss')], ['of the shop', LOGIN]);
    assert.equal((await atShop(v)).email, ada.identifier);
  };
  await v.go(start);
  await v.signIn(ada.identifier, ada.password);
  await through();
  await v.page.goto(start, { waitUntil: 'commit' });
  await through();
  await v.go(authorize('shop', redirect, { response_mode: 'form_post', prompt: 'none', max_age: 0, state: 'of the shop' }));
  if (javascript) await v.page.waitForURL((u) => u.searchParams.has('error'));
  else await button(v, 'Continue');
  assert.deepEqual([answer(v).get('error'), answer(v).get('state'), answer(v).get('code')], ['login_required', 'of the shop', null]);
  await close(v);
}

async function choice() {
  const choose = authorize('shop', redirect, { prompt: 'select_account' });
  const v = await visit();
  await v.go(choose);
  assert.equal(await v.heading(), 'Sign in', 'nothing to choose');
  await v.signIn(ada.identifier, ada.password);
  assert.equal((await atShop(v)).email, ada.identifier);
  await v.go(choose);
  assert.equal(await v.heading(), 'Choose an account');
  assert.match(await v.text(), /to continue to The shop/);
  await link(v, 'Use another account');
  await link(v, `Continue as ${ada.identifier}`); // thought better of it
  await link(v, 'Use another account');
  await v.signIn(bob.identifier, bob.password);
  assert.equal((await atShop(v)).email, bob.identifier);

  await v.go(choose);
  const tab = await inTab(v, (t) => t.go(choose));
  await button(v, ada.identifier);
  assert.equal((await atShop(v)).email, ada.identifier);
  await button(tab, bob.identifier);
  assert.equal((await atShop(tab)).email, bob.identifier, 'the tabs do not disturb each other');
  await back(v);
  assert.equal(await v.heading(), 'Choose an account');
  await button(v, bob.identifier);
  assert.equal((await atShop(v)).email, bob.identifier);
  await v.go(authorize('shop', redirect, { login_hint: ada.identifier }));
  assert.equal((await atShop(v)).email, ada.identifier, 'whom the application means');

  // Signed out of all meanwhile, in another tab.
  await v.go(choose);
  await inTab(v, async (t) => { await t.go(`${LOGIN}/logout`); await t.submit(); });
  await button(v, ada.identifier);
  assert.equal(await v.heading(), 'Sign in');
  await v.signIn(ada.identifier, ada.password);
  assert.equal((await atShop(v)).email, ada.identifier);
  await close(v);
}

async function changeAsked() {
  const v = await visit(), target = `${APP}/deep?x=1`;
  await v.go(target);
  const tab = await inTab(v, (t) => t.go(`${APP}/tab`));
  await v.signIn(carol.identifier, carol.password);
  assert.equal(await v.heading(), 'Change password');
  assert.equal(await v.page.locator('[autocomplete=username]').inputValue(), carol.identifier, 'password managers see for whom');
  assert.equal(await v.page.locator('input[name=password]').getAttribute('autocomplete'), 'new-password');
  await inspect(v);
  await back(v);
  assert.equal(await v.heading(), 'Sign in');
  await v.signIn(carol.identifier, carol.password);
  for (const [word, refusal] of [['password1', /first that attackers try/], [carol.password, /already have/]]) {
    await v.fill({ password: word });
    await v.submit();
    assert.match(await alert(v), refusal);
  }
  await inspect(v, { status: 400 });
  const chosen = 'chosen by carol herself';
  await v.fill({ password: chosen });
  await v.submit();
  assert.equal(v.url, target);
  assert.match(await v.text(), /user=[0-9a-f-]{36} /);
  await tab.signIn(carol.identifier, carol.password);
  assert.equal(tab.url, `${APP}/tab`, 'the tab that was open goes on as the same person');

  const later = await visit();
  await later.go(target);
  await later.signIn(carol.identifier, carol.password);
  assert.match(await alert(later), /didn’t match/, 'the password of the operator is spent');
  await later.signIn(carol.identifier, chosen);
  assert.equal(later.url, target);
  await close(later);
  await close(v);
}

// account opens the account page in a browser that is not signed in.
async function account(password = ada.password, more = {}) {
  const v = await visit(more);
  await v.go(`${LOGIN}/account`);
  await v.signIn(ada.identifier, password);
  assert.equal(await v.heading(), 'Your account');
  return v;
}

async function profile() {
  const v = await account();
  await v.fill({ name: 'Ada King', website: 'https://ada.example.com/' });
  await v.page.locator('textarea[name=address]').fill('12 St James’s Square\nLondon');
  await v.submit();
  assert.equal(await status(v), 'Your profile is saved.');
  await v.go(`${LOGIN}/account`);
  assert.equal(await v.page.locator('input[name=name]').inputValue(), 'Ada King');
  assert.equal(await v.page.locator('textarea[name=address]').inputValue(), '12 St James’s Square\nLondon');

  await v.fill({ name: 'Ada Lovelace', website: 'javascript:alert(1)' });
  await v.submit();
  assert.match(await alert(v), /can’t be saved/);
  assert.equal(await v.page.locator('input[name=name]').inputValue(), 'Ada Lovelace', 'what was typed is kept');
  await v.go(`${LOGIN}/account`);
  assert.equal(await v.page.locator('input[name=name]').inputValue(), 'Ada King', 'nothing was saved');
  await back(v);
  assert.equal(await v.heading(), 'Your account');
  await v.fill({ website: '' });
  await v.submit();
  assert.equal(await status(v), 'Your profile is saved.');
  await close(v);
}

async function elsewhere() {
  const v = await account(), others = [];
  for (const userAgent of [phone, phone.replaceAll('iPhone', 'iPad')]) {
    const other = await visit({ userAgent });
    await other.go(`${APP}/there`);
    await other.signIn(ada.identifier, ada.password);
    assert.equal(other.url, `${APP}/there`);
    others.push(other);
  }
  const out = async (other) => {
    await other.go(`${APP}/again`);
    assert.equal(await other.heading(), 'Sign in');
  };
  await v.go(`${LOGIN}/account`);
  const tab = await inTab(v, (t) => t.go(`${LOGIN}/account`));
  await button(v, 'Sign out: Safari, iOS');
  assert.equal(await status(v), 'The other browser is signed out.');
  await out(others[0]);
  await button(tab, 'Sign out: Safari, iOS'); // has ended already: no harm
  assert.equal(await tab.heading(), 'Your account');
  await others[1].go(`${APP}/again`);
  assert.match(await others[1].text(), /^user=/, 'the other one is not meant');
  await button(v, 'Sign out everywhere else');
  assert.equal(await status(v), 'You are signed out everywhere else.');
  await out(others[1]);
  await v.go(`${LOGIN}/account`);
  assert.equal(await v.heading(), 'Your account', 'still signed in here');
  assert.equal(await v.page.getByRole('button', { name: /^Sign out/ }).count(), 0, 'nothing left to end');
  await close(v, ...others);
}

async function newPassword() {
  const v = await account(), other = await account(), next = 'another lantern by the gate';
  const tab = await inTab(v, (t) => t.go(`${LOGIN}/account`));
  await link(v, 'Change password');
  for (const name of ['current_password', 'password']) {
    assert.equal(await v.page.locator(`input[name=${name}]`).getAttribute('autocomplete'), name === 'password' ? 'new-password' : 'current-password');
  }
  await v.fill({ current_password: 'not the password', password: next });
  await v.submit();
  assert.match(await alert(v), /current password is not right/);
  await v.fill({ current_password: ada.password, password: ada.password });
  await v.submit();
  assert.match(await alert(v), /already have/);
  await v.fill({ current_password: ada.password, password: next });
  await v.submit();
  assert.equal(await v.heading(), 'Your account', 'still signed in');
  assert.equal(await status(v), 'Your password is changed.');

  await tab.fill({ name: 'Ada of the tab' }); // its form is of the session of before
  await tab.submit();
  assert.match(await tab.text(), /open for a while/);
  await tab.submit();
  assert.equal(await tab.heading(), 'Your account');

  await other.go(`${LOGIN}/account`);
  assert.equal(await other.heading(), 'Sign in', 'the other browser is signed out');
  await other.signIn(ada.identifier, ada.password);
  assert.match(await alert(other), /didn’t match/);
  await other.signIn(ada.identifier, next);
  assert.equal(await other.heading(), 'Your account');
  ada.password = next;
  await close(v, other);
}

async function leaving() {
  const v = await visit();
  const bye = (more) => `${LOGIN}/logout?${new URLSearchParams({ client_id: 'shop', post_logout_redirect_uri: `${SHOP}/bye`, state: 'so long', ...more })}`;
  const signedOut = async () => {
    assert.equal(await v.text(), 'the shop', v.url);
    assert.equal(answer(v).get('state'), 'so long');
    assert.deepEqual((await v.context.cookies()).filter((c) => /-sso-/.test(c.name)), [], 'cookie of the session');
  };
  // With a hint the application has said whom it means: no question.
  await v.go(authorize('shop', redirect));
  await v.signIn(ada.identifier, ada.password);
  const { id_token } = await atShop(v);
  await v.go(bye({ id_token_hint: id_token }));
  await signedOut();
  await v.go(authorize('shop', redirect));
  assert.equal(await v.heading(), 'Sign in');

  // Without one, the person is asked, and may stay.
  await v.signIn(ada.identifier, ada.password);
  await v.go(bye());
  assert.equal(await v.heading(), 'Sign out?');
  assert.match(await v.text(), /The shop asks to sign you out/);
  await inspect(v);
  await link(v, 'Stay signed in');
  assert.equal(await v.heading(), 'You’re signed in');
  await back(v);
  assert.equal(await v.heading(), 'Sign out?');
  const tab = await inTab(v, (t) => t.go(bye()));
  await v.submit();
  await signedOut();
  await tab.submit(); // there is nothing left to end: on all the same
  assert.equal(await tab.text(), 'the shop');
  await back(v);
  await signedOut();

  // An address that is not the application's leads nowhere.
  await v.go(bye({ post_logout_redirect_uri: 'https://elsewhere.example.com/' }));
  assert.equal(await v.heading(), 'We don’t know this application');
  await close(v);
}

async function languages() {
  const speaks = async (options, more, lang) => {
    const v = await visit(options);
    await v.go(authorize('shop', redirect, more));
    assert.equal(await v.page.locator('html').getAttribute('lang'), lang, JSON.stringify([options, more]));
    await v.signIn('nobody@example.com', 'not the password');
    assert.equal(await v.page.locator('html').getAttribute('lang'), lang, 'after the form as well');
    assert.match(await alert(v), lang === 'de' ? /Das passt nicht zusammen/ : /didn’t match/);
    await close(v);
  };
  await speaks({ locale: 'de-AT' }, {}, 'de');
  await speaks({ locale: 'fr-FR' }, {}, 'en');
  await speaks({ locale: undefined, extraHTTPHeaders: { 'Accept-Language': 'en;q=0.3, fr, de;q=0.5' } }, {}, 'de');
  await speaks({ locale: 'en-GB' }, { ui_locales: 'fr de-CH en' }, 'de');
  await speaks({ locale: 'de-DE' }, { ui_locales: 'en' }, 'en');
}

// A browser that takes no cookies, as its owner set it.
async function noCookies() {
  const dir = await mkdtemp(join(tmpdir(), 'no-cookies-'));
  await mkdir(join(dir, 'Default'));
  await writeFile(join(dir, 'Default', 'Preferences'), JSON.stringify({ profile: { default_content_setting_values: { cookies: 2 } } }));
  const context = await launchOwn(dir, { javaScriptEnabled: javascript, locale: 'en-GB' });
  try {
    const v = await Visitor.in(context, javascript);
    for (const start of [authorize('shop', redirect), `${APP}/deep`, `${LOGIN}/account`]) {
      await v.go(start);
      assert.equal(await v.heading(), 'Sign in');
      await v.signIn(ada.identifier, ada.password);
      assert.equal(await v.heading(), 'Your browser sent no cookie back', start);
      assert.match(await v.text(), /Allow cookies/);
      await inspect(v, { status: v.status });
      await link(v, 'Try again');
      assert.equal(await v.heading(), 'Sign in');
      assert.deepEqual(await context.cookies(), []);
    }
  } finally {
    await context.close();
    await rm(dir, { recursive: true, force: true });
  }
}

try {
  const parts = { consent, formPost, choice, changeAsked, profile, elsewhere, newPassword, leaving, languages, noCookies };
  for (const name of process.argv.slice(2)) {
    const began = performance.now();
    await parts[name]();
    console.log(`ok ${name} ${Math.round(performance.now() - began)} ms`);
  }
} finally {
  await browser.close();
}
