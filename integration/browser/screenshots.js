// Pictures of every hosted page of a real server, for docs/screenshots: in
// light and dark, narrow and wide; the German ones end in -de.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { launch } from './visitor.js';
import { locales, tour } from './tour.js';

const { OUT } = process.env;
const heights = { 320: 640, 1280: 800 };

// still puts something constant in the place of what changes every time: an
// error's reference, points in time, addresses and ports.
const still = (page) => page.evaluate(() => {
  for (const e of document.querySelectorAll('dd:last-child')) e.textContent = 'dEnJ55rhTXQE';
  const times = ['2026-03-02T08:30:00Z', '2026-03-01T17:05:00Z'];
  for (const [i, e] of document.querySelectorAll('time').entries()) {
    const [date, clock] = [times[i % 2].slice(0, 10), times[i % 2].slice(11, 16)];
    const [y, m, d] = date.split('-');
    e.textContent = document.documentElement.lang === 'de' ? `${d}.${m}.${y}, ${clock} UTC` : `${Number(d)} Mar ${y}, ${clock} UTC`;
  }
  for (const e of document.querySelectorAll('.hint > bdi')) e.textContent = e.textContent.replace(/^(::1|127\.0\.0\.1)$/, '192.0.2.7');
  const walk = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) walk.currentNode.data = walk.currentNode.data.replace(/http:\/\/(\w+)\.localhost:\d+/g, 'https://$1.example.com');
});

const browser = await launch();
try {
  await mkdir(OUT, { recursive: true });
  for (const lang of Object.keys(locales)) {
    await tour(browser, { lang, reducedMotion: 'reduce' }, async ({ page }, name) => {
      await still(page);
      for (const [width, height] of Object.entries(heights)) {
        // The whole page: a window as high as that takes.
        await page.setViewportSize({ width: Number(width), height });
        const full = await page.evaluate(() => document.documentElement.scrollHeight);
        await page.setViewportSize({ width: Number(width), height: full });
        for (const colorScheme of ['light', 'dark']) {
          await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
          await page.screenshot({ path: join(OUT, `${name}-${colorScheme}-${width}${lang === 'en' ? '' : `-${lang}`}.png`), animations: 'disabled' });
        }
      }
      await page.emulateMedia({ colorScheme: 'light' });
      await page.setViewportSize({ width: 1280, height: heights[1280] });
    });
  }
} finally {
  await browser.close();
}
