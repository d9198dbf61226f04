// The first visit of a stranger: the printed link, a password, the app.
import assert from 'node:assert/strict';
import { Visitor, launch } from '../browser/visitor.js';

const { LINK, APP, IDENTIFIER, PASSWORD } = process.env;
const browser = await launch();
try {
  const v = await Visitor.open(browser);
  await v.go(LINK);
  await v.fill({ identifier: IDENTIFIER, password: PASSWORD });
  await v.submit();
  assert.equal(v.url, `${APP}/`, 'the link ends at the app');
  const told = async (name) => (await v.page.locator(`div:has(> dt:text-is("${name}")) > dd`).innerText()).trim();
  assert.match(await v.heading(), new RegExp(IDENTIFIER));
  assert.match(await told('X-Auth-User'), /^[0-9a-f-]{36}$/);
  assert.equal(await told('X-Auth-Email'), IDENTIFIER);
  assert.equal(await told('X-Auth-Groups'), 'operators');
  assert.match(await told('X-Auth-Assertion'), /^eyJ[\w-]+\.[\w-]+\.[\w-]+$/);
  assert.equal(await told('X-Auth-Client'), 'not set');

  await v.leads(() => v.page.getByRole('link', { name: 'Sign out' }).click());
  await v.submit();
  assert.equal(await v.heading(), 'You’re signed out');
  await v.go(APP);
  assert.equal(await v.heading(), 'Sign in');
  await v.signIn(IDENTIFIER, PASSWORD);
  assert.equal(await told('X-Auth-Email'), IDENTIFIER);
  v.quiet([APP]);
} finally {
  await browser.close();
}
