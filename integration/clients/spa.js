// examples/spa in Chromium, with npm's oidc-client-ts. spa_test.go serves it.
import assert from 'node:assert/strict'
import { chromium } from 'playwright-core'

const { APP, LOGIN, API, STRANGER, PERSON, PASSWORD, CHROMIUM } = process.env

const args = ['--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
  '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost']
if (process.getuid?.() === 0) args.push('--no-sandbox')
const browser = await chromium.launch({ executablePath: CHROMIUM, args })
const context = await browser.newContext()
context.setDefaultTimeout(15_000)
const page = await context.newPage()

const seen = [] // what scripts asked for
page.on('response', (r) => { if (r.request().resourceType() === 'fetch') seen.push(`${r.request().method()} ${r.url()} ${r.status()}`) })
const complaints = []
page.on('console', (m) => {
  const icon = m.location().url === APP + '/favicon.ico' // the example has none
  if (['error', 'warning'].includes(m.type()) && !icon) complaints.push(m.text())
})
page.on('pageerror', (e) => complaints.push(String(e)))

const press = (name) => page.getByRole('button', { name }).click()
const shows = (id, text) => page.locator(id, { hasText: text }).waitFor()
const key = `oidc.user:${LOGIN}:spa` // where the library keeps who is signed in
const stored = () => page.evaluate((key) => JSON.parse(sessionStorage.getItem(key)), key)
const asked = (request) => seen.filter((s) => s === request).length

// ask is a script's request of a page, and what the script gets to know of the answer.
const ask = (on, target, init) => on.evaluate(async ([target, init]) => {
  try {
    return (await fetch(target, init)).status
  } catch (error) {
    return error.name
  }
}, [target, init])

// Somebody comes for the first time.
await page.goto(APP)
await shows('#who', 'Nobody is signed in.')
assert.equal(await page.getByRole('button').count(), 1, 'one thing to do')

// They sign in on the login host's page, and the app is told by code and PKCE.
await press('Sign in')
await page.waitForURL(LOGIN + '/login*')
await page.locator('input[name=identifier]').fill(PERSON)
await page.locator('input[name=password]').fill(PASSWORD)
await page.locator('form button.main').click()
await shows('#who', 'Signed in as Zoë Example.')
assert.equal(page.url(), APP + '/', 'no code in the address')
assert.equal(asked(`POST ${LOGIN}/oauth2/token 200`), 1)
assert.equal(asked(`GET ${LOGIN}/oauth2/userInfo 200`), 1)
const first = await stored()
assert.equal(first.profile.email, PERSON)

// The API answers the app's script.
await press('Call the API')
await shows('#answer', '200 user=')
assert.match(await page.locator('#answer').innerText(), /client=spa scopes=.*orders\.read/)

// A reload forgets nothing; a renewal gives new tokens.
await page.reload()
await shows('#who', 'Signed in as Zoë Example.')
await press('Renew the token')
await page.waitForFunction(([key, old]) => JSON.parse(sessionStorage.getItem(key))?.access_token !== old, [key, first.access_token])
const second = await stored()
assert.notEqual(second.refresh_token, first.refresh_token)
assert.equal(second.profile.sub, first.profile.sub)
await press('Call the API')
await shows('#answer', '200 user=')
assert.equal(await page.locator('#problem').innerText(), '')
assert.deepEqual(complaints, [], 'complaints of the browser')

// What the app's script may know, a stranger's may not, not even with its tokens.
const bearer = { headers: { Authorization: 'Bearer ' + second.access_token } }
const exchange = { method: 'POST', body: new URLSearchParams({ grant_type: 'authorization_code', client_id: 'spa', code: 'x', redirect_uri: APP + '/', code_verifier: 'v'.repeat(43) }).toString(),
  headers: { 'Content-Type': 'application/x-www-form-urlencoded' } }
const elsewhere = await context.newPage()
await elsewhere.goto(STRANGER)
for (const [what, target, init, status] of [
  ['the token endpoint', LOGIN + '/oauth2/token', exchange, 400],
  ['userinfo', LOGIN + '/oauth2/userInfo', bearer, 200],
  ['the API', API + '/orders', bearer, 200],
]) {
  assert.equal(await ask(page, target, init), status, what + ' to the app')
  assert.equal(await ask(elsewhere, target, init), 'TypeError', what + ' to a stranger')
}
assert.equal(await ask(elsewhere, API + '/orders', { credentials: 'include' }), 'TypeError', 'the API to a stranger without a token')

// A refresh token that is refused leaves nobody signed in to the app; the
// session at the login host lets them in again without a question.
await page.evaluate(([key, user]) => sessionStorage.setItem(key, JSON.stringify(user)), [key, { ...second, refresh_token: 'none of ours' }])
await press('Renew the token')
await shows('#problem', 'That did not work')
await shows('#who', 'Nobody is signed in.')
await press('Sign in')
await shows('#who', 'Signed in as Zoë Example.')

// Signing out ends the session at the login host too, and leads back.
await press('Sign out')
await shows('#who', 'Nobody is signed in.')
await page.waitForURL(APP + '/')
assert.equal(await stored(), null)
assert.equal(await page.getByRole('button', { name: 'Sign in' }).isVisible(), true)
await press('Sign in')
await page.locator('input[name=password]').waitFor()
assert.match(page.url(), new RegExp('^' + LOGIN + '/login'))
await browser.close()
