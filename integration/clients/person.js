// The person in front of the browser: the test that runs the script.
import assert from 'node:assert/strict'
import { createInterface } from 'node:readline'

export const { ISSUER: issuer, API: api, SECRET: secret, REDIRECT: redirect, PERSON: email } = process.env

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

// visit sends the person to an address and resolves to where they end.
export async function visit(address) {
  console.log('visit ' + address)
  const { value, done } = await lines.next()
  assert(!done, 'nobody visits')
  return new URL(value)
}

// about holds what the person's claims must say.
export function about(claims) {
  assert.equal(claims.name, 'Zoë Example')
  assert.equal(claims.email, email)
}
