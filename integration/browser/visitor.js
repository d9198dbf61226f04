// A person's browser: one Chromium context that remembers what it asked the
// network for and what the browser complained about.
import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';

const flags = [
  '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
  // The names of the tests exist nowhere; every other name must not be looked up.
  '--host-resolver-rules=MAP *.gatehouse.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE *.localhost',
  '--font-render-hinting=none',
];

if (process.getuid?.() === 0) flags.push('--no-sandbox');
const how = { executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: flags };

export function launch() { return chromium.launch(how); }

// launchOwn starts the browser of somebody who has changed its settings: dir
// is where they are. It returns its only context.
export function launchOwn(dir, options) { return chromium.launchPersistentContext(dir, { ...how, ...options }); }

// Complaints that only repeat the status of a page.
const statusLine = /^Failed to load resource: the server responded with a status of 4\d\d/;

export class Visitor {
  static async open(browser, { javascript = true, ...options } = {}) {
    const context = await browser.newContext({ javaScriptEnabled: javascript, ignoreHTTPSErrors: true, viewport: { width: 1280, height: 800 }, ...options });
    return Visitor.in(context, javascript);
  }

  static async in(context, javascript) {
    context.setDefaultTimeout(15_000);
    const v = new Visitor();
    v.javascript = javascript;
    v.context = context;
    v.page = await context.newPage();
    v.follow(v.page);
    return v;
  }

  requests = []; // addresses, in order
  subresources = []; // what pages asked for besides themselves
  complaints = []; // of the browser: policy violations, script errors
  failures = []; // requests that came to nothing
  document = null; // the response that is on show

  follow(page) {
    page.on('request', (r) => {
      if (r.url().startsWith('data:')) return;
      this.requests.push(r.url());
      if (!r.isNavigationRequest()) this.subresources.push(r.url());
    });
    page.on('response', (r) => {
      // After 204 a browser stays on the page that it shows.
      if (r.request().isNavigationRequest() && r.frame() === page.mainFrame() && r.status() !== 204) this.document = r;
    });
    page.on('requestfailed', (r) => this.failures.push(`${r.url()}: ${r.failure()?.errorText}`));
    page.on('console', (m) => {
      if (['error', 'warning'].includes(m.type()) && !statusLine.test(m.text())) this.complaints.push(m.text());
    });
    page.on('pageerror', (e) => this.complaints.push(String(e)));
  }

  get url() { return this.page.url(); }
  get status() { return this.document.status(); }

  async go(url) {
    await this.page.goto(url);
    return this;
  }

  text() { return this.page.locator('body').innerText(); }
  heading() { return this.page.locator('h1').innerText(); }

  async fill(values) {
    for (const [name, value] of Object.entries(values)) await this.page.locator(`input[name="${name}"]`).fill(value);
  }

  // press does something that leads to another page, and waits for that.
  async leads(action) {
    const before = this.document;
    await Promise.all([this.page.waitForNavigation({ waitUntil: 'load' }), action()]);
    assert.notEqual(this.document, before, 'no page came');
  }

  submit() { return this.leads(() => this.page.locator('form button.main').click()); }
  enter(name) { return this.leads(() => this.page.locator(`input[name="${name}"]`).press('Enter')); }

  async signIn(identifier, password) {
    await this.fill({ identifier, password });
    await this.submit();
  }

  // quiet asserts that nothing was asked of anybody but these origins, that
  // every page was one request, and that the browser had nothing to complain of.
  quiet(origins) {
    const strangers = this.requests.filter((r) => !origins.includes(new URL(r).origin));
    assert.deepEqual(strangers, [], 'requests to others');
    assert.deepEqual(this.subresources, [], 'more than one request for a page');
    assert.deepEqual(this.complaints, [], 'complaints of the browser');
    assert.deepEqual(this.failures, [], 'requests that failed');
  }

  close() { return this.context.close(); }
}
