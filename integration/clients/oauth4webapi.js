// oauth4webapi, which checks answers to the letter; http is allowed for the loopback.
import assert from 'node:assert/strict'
import * as oauth from 'oauth4webapi'
import { about, api, issuer, redirect, secret, visit } from './person.js'

const insecure = { [oauth.allowInsecureRequests]: true }

async function discover(algorithm) {
  const identifier = new URL(issuer)
  return oauth.processDiscoveryResponse(identifier, await oauth.discoveryRequest(identifier, { algorithm, ...insecure }))
}

async function signIn(as, client, authentication) {
  const verifier = oauth.generateRandomCodeVerifier()
  const state = oauth.generateRandomState()
  const nonce = oauth.generateRandomNonce()
  const target = new URL(as.authorization_endpoint)
  target.search = new URLSearchParams({
    client_id: client.client_id, redirect_uri: redirect, response_type: 'code', scope: 'openid profile email orders.read',
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256', state, nonce,
  })
  const callback = oauth.validateAuthResponse(as, client, await visit(target.href), state)
  const response = await oauth.authorizationCodeGrantRequest(as, client, authentication, callback, redirect, verifier, insecure)
  const tokens = await oauth.processAuthorizationCodeResponse(as, client, response, { expectedNonce: nonce, requireIdToken: true })
  await oauth.validateApplicationLevelSignature(as, response, insecure)
  const { sub } = oauth.getValidatedIdTokenClaims(tokens)
  await use(as, client, tokens.access_token, sub)

  const again = await oauth.refreshTokenGrantRequest(as, client, authentication, tokens.refresh_token, insecure)
  const next = await oauth.processRefreshTokenResponse(as, client, again)
  assert.notEqual(next.refresh_token, tokens.refresh_token)
  await use(as, client, next.access_token, sub)
  console.log(`${client.client_id}: done`)
}

// use asks userinfo, verifies the token as an API would (RFC 9068), and calls one.
async function use(as, client, token, sub) {
  const answer = await oauth.userInfoRequest(as, client, token, insecure)
  about(await oauth.processUserInfoResponse(as, client, sub, answer))
  await call(as, token)
}

async function call(as, token) {
  const claims = await oauth.validateJwtAccessToken(as, new Request(api, { headers: { authorization: 'Bearer ' + token } }), api, insecure)
  assert.match(claims.scope, /\borders\.read\b/)
  const answer = await oauth.protectedResourceRequest(token, 'GET', new URL(api + '/orders'), undefined, undefined, insecure)
  assert.equal(answer.status, 200)
}

// The API says by itself who issues its tokens (RFC 9728).
const identifier = new URL(api)
const resource = await oauth.processResourceDiscoveryResponse(identifier, await oauth.resourceDiscoveryRequest(identifier, insecure))
assert.deepEqual(resource.authorization_servers, [issuer])

const as = await discover('oidc')
assert.deepEqual(await discover('oauth2'), as)
await signIn(as, { client_id: 'shop' }, oauth.ClientSecretBasic(secret))
await signIn(as, { client_id: 'shop-post' }, oauth.ClientSecretPost(secret))
await signIn(as, { client_id: 'phone', id_token_signed_response_alg: 'ES256' }, oauth.None())

const batch = { client_id: 'batch' }
const answer = await oauth.clientCredentialsGrantRequest(as, batch, oauth.ClientSecretBasic(secret), { scope: 'orders.read' }, insecure)
const machine = await oauth.processClientCredentialsResponse(as, batch, answer)
assert.equal(machine.refresh_token, undefined)
await call(as, machine.access_token)
process.exit()
