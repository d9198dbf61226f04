// Pictures of the hosted pages of a real server, for docs/screenshots.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Visitor, launch } from './visitor.js';

const { LOGIN, SHOP, INVITE_LINK, OUT } = process.env;
const sizes = [{ width: 320, height: 640 }, { width: 1280, height: 800 }];
const request = new URLSearchParams({
  response_type: 'code', client_id: 'shop', redirect_uri: `${SHOP}/callback`, scope: 'openid email',
  code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM', code_challenge_method: 'S256',
});
const pages = {
  'sign-in': `${LOGIN}/oauth2/authorize?${request}`,
  'set-password': INVITE_LINK,
  error: `${LOGIN}/signup?link=used`,
  'signed-out': `${LOGIN}/logout`,
};

const browser = await launch();
try {
  await mkdir(OUT, { recursive: true });
  for (const viewport of sizes) {
    for (const colorScheme of ['light', 'dark']) {
      const v = await Visitor.open(browser, { viewport, colorScheme, reducedMotion: 'reduce', locale: 'en-GB' });
      for (const [name, url] of Object.entries(pages)) {
        await v.go(url);
        // The one word that differs every time is the reference of an error.
        await v.page.locator('dd:last-child').evaluateAll((all) => all.forEach((e) => { e.textContent = 'dEnJ55rhTXQE'; }));
        // The whole page: a window as high as that takes.
        const height = await v.page.evaluate(() => document.documentElement.scrollHeight);
        await v.page.setViewportSize({ width: viewport.width, height });
        await v.page.screenshot({ path: join(OUT, `${name}-${colorScheme}-${viewport.width}.png`), animations: 'disabled' });
        await v.page.setViewportSize(viewport);
      }
      await v.close();
    }
  }
} finally {
  await browser.close();
}
