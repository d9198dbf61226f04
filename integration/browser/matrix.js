// Every page, in light and dark, narrow and wide, in both languages, with
// JavaScript and without: what holds for all pages holds for each.
import assert from 'node:assert/strict';
import { launch } from './visitor.js';
import { inspect } from './inspect.js';
import { locales, tour } from './tour.js';

// The same in both languages: names of others, and words that both share.
const shared = new Set(['Website', 'The shop', 'Lantern Prints', 'Photo tool', '·']);

// texts are all that a person reads or hears, but for what others wrote:
// accounts, hosts, scopes, technical details.
const texts = (page) => page.evaluate(() => {
  const foreign = 'bdi, code, dd, time, .brand, .who';
  const all = [document.title, ...[...document.querySelectorAll('[aria-label]')].map((e) => e.getAttribute('aria-label'))];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (!e.closest(`script, style, ${foreign}`)) all.push(walk.currentNode.data.trim());
  }
  return all.filter((s) => /\p{L}/u.test(s));
});

const browser = await launch();
try {
  const seen = {};
  for (const javascript of [true, false]) {
    for (const lang of Object.keys(locales)) {
      const began = performance.now();
      const here = seen[`${lang} ${javascript}`] = {};
      await tour(browser, { lang, javascript }, async (v, name, status) => {
        try {
          assert.equal(await v.page.locator('html').getAttribute('lang'), lang);
          here[name] = await texts(v.page);
          await inspect(v, { status, everywhere: true });
          assert.deepEqual(v.subresources, [], 'more than one request for a page');
          assert.deepEqual(v.complaints, [], 'complaints of the browser');
        } catch (e) {
          e.message = `${name}, ${lang}, JavaScript ${javascript ? 'on' : 'off'}: ${e.message}`;
          throw e;
        }
      });
      console.log(`ok ${lang}, JavaScript ${javascript ? 'on' : 'off'}: ${Object.keys(here).length} pages, ${Math.round(performance.now() - began)} ms`);
    }
  }
  console.log('all pages:', ...Object.keys(seen['en true']));
  const { 'en true': en, 'de true': de } = seen;
  assert.deepEqual(Object.keys(de), Object.keys(en));
  for (const [name, words] of Object.entries(de)) {
    assert.ok(words.length >= 3, `${name} says something: ${words}`);
    assert.deepEqual(words.filter((w) => en[name].includes(w) && !shared.has(w) && !/^https?:/.test(w)), [], `English on the German page ${name}`);
    assert.equal(words.length, en[name].length, `${name} says as much in German: ${words} / ${en[name]}`);
  }
  for (const lang of Object.keys(locales)) assert.deepEqual(seen[`${lang} false`], seen[`${lang} true`], 'the same without JavaScript');
} finally {
  await browser.close();
}
