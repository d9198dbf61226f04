// openid-client, as its README uses it; http is allowed for the loopback.
import assert from 'node:assert/strict'
import * as client from 'openid-client'
import { about, api, issuer, redirect, secret, visit } from './person.js'

const insecure = { execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks] }

async function signIn(id, metadata, authentication, algorithm) {
  const config = await client.discovery(new URL(issuer), id, metadata, authentication, { algorithm, ...insecure })
  const pkceCodeVerifier = client.randomPKCECodeVerifier()
  const expectedState = client.randomState()
  const expectedNonce = client.randomNonce()
  const target = client.buildAuthorizationUrl(config, {
    redirect_uri: redirect,
    scope: 'openid profile email orders.read',
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
    state: expectedState,
    nonce: expectedNonce,
  })
  const tokens = await client.authorizationCodeGrant(config, await visit(target.href), {
    pkceCodeVerifier, expectedState, expectedNonce, idTokenExpected: true, maxAge: 3600,
  })
  const { sub } = tokens.claims()
  about(await client.fetchUserInfo(config, tokens.access_token, sub))
  await call(config, tokens.access_token)

  const next = await client.refreshTokenGrant(config, tokens.refresh_token)
  assert.notEqual(next.refresh_token, tokens.refresh_token)
  assert.equal(next.claims().sub, sub)
  about(await client.fetchUserInfo(config, next.access_token, sub))
  await call(config, next.access_token)
  console.log(`${id}, discovered by ${algorithm}: done`)
}

async function call(config, token) {
  const answer = await client.fetchProtectedResource(config, token, new URL(api + '/orders'), 'GET')
  assert.equal(answer.status, 200)
}

await signIn('shop', secret, undefined, 'oidc') // what the library does by default
await signIn('shop-post', undefined, client.ClientSecretPost(secret), 'oauth2')
await signIn('phone', { id_token_signed_response_alg: 'ES256' }, client.None(), 'oidc')

const config = await client.discovery(new URL(issuer), 'batch', undefined, client.ClientSecretBasic(secret), insecure)
const machine = await client.clientCredentialsGrant(config, { scope: 'orders.read', resource: api })
assert.equal(machine.refresh_token, undefined)
await call(config, machine.access_token)
process.exit()
