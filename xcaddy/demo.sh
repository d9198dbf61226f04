#!/usr/bin/env bash
# Says what the demo serves and how to call it. `make run` calls this, then
# starts Caddy, which prints the first user's link below.
set -euo pipefail
secret=${DEMO:-.run}/demo-client-secret
secret=${secret#"$PWD"/}
cat <<TEXT

  The demo app    http://localhost:8080/
  The demo API    http://localhost:8081/   for tokens with the scope orders.read; writing takes orders.write
  Discovery       http://localhost:8080/_auth/.well-known/openid-configuration

  In another terminal, as the machine client demo-batch:

    TOKEN=\$(curl -s -u "demo-batch:\$(cat $secret)" -d grant_type=client_credentials http://localhost:8080/_auth/oauth2/token | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
    curl -i -H "Authorization: Bearer \$TOKEN" http://localhost:8081/             # 200, and what the API was told
    curl -i -H "Authorization: Bearer \$TOKEN" -X POST http://localhost:8081/     # 403: the token lacks orders.write
    curl -i http://localhost:8081/                                               # 401: no token

  The first time, a link for the first user follows below. Ctrl+C ends the demo; its state stays in ${secret%/*}.

TEXT
