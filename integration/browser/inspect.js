// What holds for every hosted page, whatever it says.
import assert from 'node:assert/strict';
import axe from 'axe-core';

const maxBytes = 8 * 1024;
const narrow = { width: 320, height: 640 };
const wide = { width: 1280, height: 800 };

// everywhere also looks for what axe finds at both widths.
export async function inspect(visitor, { status = 200, everywhere = false } = {}) {
  assert.equal(visitor.status, status, `status of ${visitor.url}`);
  await headers(visitor);
  await size(visitor);
  await structure(visitor.page);
  await fits(visitor.page);
  if (!visitor.javascript) return;
  await focus(visitor.page);
  for (const viewport of everywhere ? [narrow, wide] : [wide]) {
    await visitor.page.setViewportSize(viewport);
    await accessible(visitor.page);
  }
}

async function headers({ document }) {
  const h = await document.allHeaders();
  assert.equal(h['content-encoding'], 'gzip');
  assert.match(h['cache-control'], /no-store/);
  assert.equal(h['referrer-policy'], 'no-referrer');
  assert.equal(h['x-content-type-options'], 'nosniff');
  const policy = h['content-security-policy'];
  assert.match(policy, /default-src 'none'/);
  assert.match(policy, /frame-ancestors 'none'/);
  assert.match(policy, /base-uri 'none'/);
  // form-action names schemes: browsers apply it to every redirect after a form, and applications lead on to where they like.
  assert.doesNotMatch(policy.replace(/form-action[^;]*;/, ''), /unsafe|\*|https?:(?:\s|;)/);
}

// The whole answer, headers included, as it went over the wire.
async function size({ document }) {
  const s = await document.request().sizes();
  assert.ok(s.responseBodySize > 500, 'the size was measured');
  const total = s.responseBodySize + s.responseHeadersSize;
  assert.ok(total <= maxBytes, `${document.url()} takes ${total} bytes`);
}

async function structure(page) {
  assert.match(await page.title(), /./);
  assert.match(await page.locator('html').getAttribute('lang'), /^[a-z]{2}/);
  for (const one of ['h1', 'main']) assert.equal(await page.locator(one).count(), 1, one);
  for (const input of await page.locator('input:not([type=hidden]), textarea').all()) {
    const id = await input.getAttribute('id');
    assert.equal(await page.locator(`label[for="${id}"]`).count(), 1, `label of ${id}`);
  }
}

// At 320 px nothing is cut off or has to be scrolled to sideways; the arch
// behind the card is decoration and may reach beyond.
async function fits(page) {
  await page.setViewportSize(narrow);
  const beyond = await page.evaluate(() => [...document.querySelectorAll('main, main *:not(.gate), footer')]
    .filter((e) => { const r = e.getBoundingClientRect(); return r.width > 0 && (r.left < 0 || r.right > innerWidth); })
    .map((e) => e.outerHTML.slice(0, 100)));
  assert.deepEqual(beyond, [], 'cut off');
  assert.equal(await page.evaluate(() => { scrollTo(10_000, 0); const x = scrollX; scrollTo(0, 0); return x; }), 0, 'scrolls sideways');
  await page.setViewportSize(wide);
}

// Every control is reached by the Tab key, in the order in which they are read,
// and shows that it is.
async function focus(page) {
  const among = 'main :is(a[href], button, input:not([type=hidden]), textarea):visible';
  const controls = await page.locator(among).count();
  await page.evaluate(() => document.activeElement?.blur());
  const reached = [];
  for (let i = 0; i < controls + 3; i++) {
    await page.keyboard.press('Tab');
    const at = await page.evaluate(() => {
      const e = document.activeElement;
      if (!e || e === document.body) return null;
      const s = getComputedStyle(e), all = [...document.querySelectorAll('main :is(a[href], button, input:not([type=hidden]), textarea)')];
      return { at: all.filter((o) => o.checkVisibility()).indexOf(e), id: e.id || e.className + e.textContent, outline: s.outlineStyle, width: parseFloat(s.outlineWidth), visible: e.matches(':focus-visible') };
    });
    if (!at) continue;
    assert.ok(at.visible && at.outline !== 'none' && at.width >= 2, `focus on ${at.id} shows: ${JSON.stringify(at)}`);
    if (!reached.includes(at.at)) reached.push(at.at);
  }
  const first = reached.indexOf(0);
  assert.deepEqual([...reached.slice(first), ...reached.slice(0, first)], [...Array(controls).keys()], 'reached by keyboard, in order');
}

async function accessible(page) {
  if (!await page.evaluate(() => 'axe' in globalThis)) await page.evaluate(axe.source);
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    const { violations, passes } = await page.evaluate(() => globalThis.axe.run(document, { preload: false, resultTypes: ['violations'] }));
    assert.ok(passes.length > 10, 'axe ran');
    const told = violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.html).join(' ')}`);
    assert.deepEqual(told, [], `${page.url()}, ${colorScheme}`);
  }
  await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'no-preference' });
}

// Cookies are ours alone: of this host, out of reach of scripts, never sent
// with other sites' posts.
export async function cookies(visitor, { secure }) {
  const all = await visitor.context.cookies();
  assert.ok(all.length > 0, 'there are cookies');
  for (const c of all) {
    const form = secure ? /^__Host-gh-(sso|site|pre|dev|hop|tx-[\w-]+)-[0-9a-f]{16}$/ : /^gh-(sso|site|pre|dev|hop|tx-[\w-]+)-[0-9a-f]{16}$/;
    assert.match(c.name, form);
    assert.equal(c.httpOnly, true, c.name);
    assert.equal(c.sameSite, 'Lax', c.name);
    assert.equal(c.secure, secure, c.name);
    assert.equal(c.path, '/', c.name);
    assert.doesNotMatch(c.domain, /^\./, c.name);
  }
  if (visitor.javascript) assert.equal(await visitor.page.evaluate(() => document.cookie), '');
}
