// The hosted login from the first link to the last sign-out. browser_test.go
// starts a server for it, says where it is, and names the parts to walk.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { Visitor, launch } from './visitor.js';
import { cookies, inspect } from './inspect.js';

const { APP, LOGIN, SHOP, FIRST_LINK, INVITE_LINK } = process.env;
const javascript = process.env.JAVASCRIPT === 'on';
const secure = APP.startsWith('https:');
const origins = [...new Set([APP, LOGIN].map((u) => new URL(u).origin))];
const oneHost = origins.length === 1;
const ann = { identifier: 'ann@example.com', password: 'correct horse battery staple' };
const bob = { identifier: 'bob@example.com', password: 'a lantern by the gate' };

const browser = await launch();
const visit = () => Visitor.open(browser, { javascript });

async function attributes(page, name, want) {
  for (const [attribute, value] of Object.entries(want)) {
    assert.equal(await page.locator(`input[name="${name}"]`).getAttribute(attribute), value, `${name} ${attribute}`);
  }
}

// alerted asserts that a message is announced and named by the fields it is about.
async function alerted(page, text, fields) {
  assert.match(await page.locator('[role=alert]').innerText(), text);
  assert.match(await page.title(), /^Error: /);
  const note = await page.locator('[role=alert]').getAttribute('id');
  for (const name of fields) {
    assert.equal(await page.locator(`input[name="${name}"]`).getAttribute('aria-invalid'), 'true', name);
    assert.ok((await page.locator(`input[name="${name}"]`).getAttribute('aria-describedby')).split(' ').includes(note), name);
  }
}

async function home(v, who) {
  if (oneHost) {
    assert.equal(v.url, `${APP}/`);
    return;
  }
  assert.equal(new URL(v.url).origin, new URL(LOGIN).origin);
  assert.equal(await v.heading(), 'You’re signed in');
  assert.match(await v.text(), new RegExp(who));
  await inspect(v);
}

async function firstUser() {
  const v = await visit();
  await v.go(FIRST_LINK);
  assert.equal(await v.heading(), 'Create the first account');
  await attributes(v.page, 'identifier', { autocomplete: 'username', type: 'text', required: '', autocapitalize: 'none' });
  await attributes(v.page, 'password', { autocomplete: 'new-password', type: 'password', required: '', minlength: '8' });
  await inspect(v);

  await v.fill({ identifier: ann.identifier, password: 'password1' });
  await v.submit();
  await alerted(v.page, /first that attackers try/, ['password']);
  assert.equal(await v.page.locator('input[name=identifier]').inputValue(), ann.identifier, 'the name is kept');
  assert.equal(await v.page.locator('input[name=password]').inputValue(), '', 'the password is not');
  await inspect(v, { status: 400 });

  await v.fill({ password: ann.password });
  await v.enter('password');
  await home(v, ann.identifier);
  await v.go(`${APP}/first`);
  assert.match(await v.text(), /user=[0-9a-f-]{36} .*groups=operators/);
  await cookies(v, { secure });
  v.quiet(origins);
  await v.close();
}

async function signInAndOut() {
  const target = `${APP}/deep/path?x=1&y=a%2Fb`;
  const v = await visit();
  await v.go(target);
  assert.equal(new URL(v.url).origin, new URL(LOGIN).origin);
  assert.equal(await v.heading(), 'Sign in');
  await attributes(v.page, 'identifier', { autocomplete: 'username', type: 'text', required: '' });
  await attributes(v.page, 'password', { autocomplete: 'current-password', type: 'password', required: '' });
  assert.equal(await v.page.locator('form:has(input[name=identifier]):has(input[name=password])').count(), 1, 'one form');
  await inspect(v);

  await v.signIn(ann.identifier, 'not the password');
  await alerted(v.page, /didn’t match/, ['identifier', 'password']);
  assert.equal(await v.page.locator('input[name=identifier]').inputValue(), ann.identifier);
  assert.equal(await v.page.locator('input[name=password]').inputValue(), '');
  const known = (await v.text()).replaceAll(ann.identifier, '');
  await inspect(v, { status: 403 });
  await v.signIn('nobody@example.com', 'not the password');
  assert.equal((await v.text()).replaceAll('nobody@example.com', ''), known, 'nobody looks like somebody');

  await v.fill(ann);
  await v.enter('password');
  assert.equal(v.url, target, 'the way back');
  assert.match(await v.text(), /groups=operators/);
  await cookies(v, { secure });

  // Back, where the page is that said no. Without scripts the browser itself
  // asks whether to send that form again.
  if (javascript) {
    await v.leads(() => v.page.goBack());
    assert.equal(new URL(v.url).origin, new URL(APP).origin, 'back leads on');
    assert.match(await v.text(), /groups=operators/);
  }

  // By its address, as another site could send a browser there: asked first.
  await v.go(`${APP}/_auth/logout`);
  assert.equal(await v.heading(), 'Sign out?');
  assert.match(await v.text(), new RegExp(ann.identifier));
  await inspect(v);
  await v.submit();
  await signedOut(v, /-sso-/);

  // By a link of the application: on hosts of their own, at once.
  await v.fill(ann);
  await v.enter('password');
  await v.leads(() => v.page.evaluate(() => location.assign('/_auth/logout')));
  if (oneHost) {
    assert.equal(await v.heading(), 'Sign out?');
    await v.submit();
  }
  await signedOut(v, /-(sso|site)-/);
  v.quiet(origins);
  await v.close();
}

async function signedOut(v, gone) {
  assert.equal(await v.heading(), 'You’re signed out');
  await inspect(v);
  assert.deepEqual((await v.context.cookies()).filter((c) => gone.test(c.name)), [], 'cookies of the session');
  await v.go(`${APP}/again`);
  assert.equal(await v.heading(), 'Sign in');
}

async function invited() {
  const v = await visit();
  await v.go(INVITE_LINK);
  assert.equal(await v.heading(), 'Set your password');
  assert.match(await v.page.locator('[autocomplete=username]').inputValue(), new RegExp(bob.identifier), 'password managers see for whom');
  await attributes(v.page, 'password', { autocomplete: 'new-password', type: 'password' });
  await inspect(v);
  await v.fill({ password: bob.password });
  await v.submit();
  await home(v, bob.identifier);
  await v.go(`${APP}/invited`);
  assert.match(await v.text(), /groups=staff/);
  v.quiet(origins);
  await v.close();

  for (const link of [INVITE_LINK, FIRST_LINK]) {
    const late = await visit();
    await late.go(link);
    assert.equal(await late.heading(), 'This link no longer works');
    await inspect(late, { status: late.status });
    assert.ok(late.status >= 400 && late.status < 500, String(late.status));
    late.quiet(origins);
    await late.close();
  }
}

// Two tabs that were both sent to sign in do not disturb each other.
async function tabs() {
  const v = await visit();
  const other = await v.context.newPage();
  v.follow(other);
  await v.go(`${APP}/one`);
  await other.goto(`${APP}/two`);
  await v.signIn(bob.identifier, bob.password);
  assert.equal(v.url, `${APP}/one`);
  await other.locator('input[name=identifier]').fill(bob.identifier);
  await other.locator('input[name=password]').fill(bob.password);
  await Promise.all([other.waitForNavigation(), other.locator('form button.main').click()]);
  assert.equal(other.url(), `${APP}/two`);
  v.quiet(origins);
  await v.close();
}

// A client of its own origin, whose callback sends people on to yet another
// one: Chromium applies the page's form-action to every redirect that follows
// the form, and a page that named only the callback's origin would strand them.
async function client() {
  const v = await visit();
  const redirect_uri = `${SHOP}/callback`, verifier = randomBytes(32).toString('base64url');
  await v.go(`${LOGIN}/oauth2/authorize?${new URLSearchParams({
    response_type: 'code', client_id: 'shop', redirect_uri, scope: 'openid email', state: 'state of the shop',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256',
  })}`);
  assert.equal(await v.heading(), 'Sign in');
  assert.match(await v.text(), /to continue to The shop/);
  await inspect(v);
  await v.signIn(ann.identifier, 'not the password');
  await v.fill(ann);
  await v.enter('password');
  assert.equal(await v.text(), 'the shop');
  const back = new URL(v.url).searchParams;
  assert.equal(back.get('state'), 'state of the shop');
  assert.equal(back.get('iss'), LOGIN);
  assert.notEqual(new URL(v.url).origin, SHOP);
  v.quiet([...origins, SHOP, new URL(v.url).origin]);
  await v.close();
  if (LOGIN.startsWith('http://localhost:')) await redeem(redirect_uri, back.get('code'), verifier);
}

async function redeem(redirect_uri, code, code_verifier) {
  const answer = await fetch(`${LOGIN}/oauth2/token`, {
    method: 'POST', body: new URLSearchParams({ grant_type: 'authorization_code', client_id: 'shop', code, redirect_uri, code_verifier }),
  });
  const { id_token, ...rest } = await answer.json();
  assert.equal(answer.status, 200, JSON.stringify(rest));
  assert.equal(JSON.parse(Buffer.from(id_token.split('.')[1], 'base64url')).email, ann.identifier);
}

// What the pages' policy forbids does not happen in a browser, and the browser
// says so: without that, quiet would prove nothing.
async function policy() {
  if (!javascript) return;
  const v = await visit();
  const forbidden = async (what, action) => {
    await v.go(`${APP}/policy`);
    v.complaints.length = 0;
    await action();
    await v.page.waitForTimeout(300);
    assert.ok(v.complaints.some((c) => /Content Security Policy/.test(c)), `${what}: ${v.complaints}`);
  };
  await forbidden('inline script', () => v.page.evaluate(() => {
    document.head.append(Object.assign(document.createElement('script'), { textContent: 'window.ran = true' }));
  }));
  assert.equal(await v.page.evaluate(() => window.ran), undefined);
  await forbidden('picture of a stranger', () => v.page.evaluate((src) => { new Image().src = src; }, `${SHOP}/picture`));
  await forbidden('call', () => v.page.evaluate((to) => { fetch(to).catch(() => {}); }, `${SHOP}/call`));
  // The policy of a page without TLS lets forms go to others without TLS.
  if (LOGIN.startsWith('https:')) await forbidden('form to a stranger', () => v.page.evaluate((action) => {
    const form = document.querySelector('form');
    form.action = action;
    form.noValidate = true;
    form.submit();
  }, `${SHOP}/take`));
  await forbidden('frame', () => v.page.setContent(`<iframe src="${LOGIN}/login"></iframe>`));
  const stopped = (r) => v.failures.some((f) => f.startsWith(`${r}: `) && /csp|BLOCKED/.test(f));
  assert.deepEqual(v.requests.filter((r) => r.startsWith(SHOP) && !stopped(r)), [], `nothing reached the stranger: ${v.failures}`);
  await v.close();
}

// The eye in the password field shows the password and hides it again.
async function showPassword() {
  if (!javascript) return;
  const v = await visit();
  await v.go(`${APP}/eye`);
  const input = v.page.locator('input[name=password]'), eye = v.page.locator('button.show');
  await input.fill('to be seen');
  await eye.click();
  assert.equal(await input.getAttribute('type'), 'text');
  assert.equal(await eye.getAttribute('aria-pressed'), 'true');
  await inspect(v);
  await eye.click();
  assert.equal(await input.getAttribute('type'), 'password');
  assert.equal(await input.inputValue(), 'to be seen');
  v.quiet(origins);
  await v.close();
}

try {
  const parts = { firstUser, signInAndOut, invited, tabs, client, policy, showPassword };
  for (const name of process.argv.slice(2)) {
    const began = performance.now();
    await parts[name]();
    console.log(`ok ${name} ${Math.round(performance.now() - began)} ms`);
  }
} finally {
  await browser.close();
}
