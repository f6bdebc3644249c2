#!/usr/bin/env bash
# Makes a provider token with nothing but openssl and a shell:
#   provider-token.sh KEY.p8 KEY_ID TEAM_ID UNIX_SECONDS [der]
# With der the signature stays as openssl makes it, as in Apple's own recipe.
set -euo pipefail
base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }

head=$(printf '{"alg":"ES256","kid":"%s"}' "$2" | base64url)
claims=$(printf '{"iss":"%s","iat":%s}' "$3" "$4" | base64url)

if [ "${5:-}" = der ]; then
	signature=$(printf '%s.%s' "$head" "$claims" | openssl dgst -sha256 -sign "$1" | base64url)
	printf '%s.%s.%s\n' "$head" "$claims" "$signature"
	exit
fi

# openssl signs in DER: SEQUENCE { INTEGER r, INTEGER s }. ES256 wants r and s as
# 32 bytes each (RFC 7518 section 3.4), so leading zeros are put back.
hex=$(printf '%s.%s' "$head" "$claims" |
	openssl dgst -sha256 -sign "$1" |
	openssl asn1parse -inform DER |
	sed -n 's/.*INTEGER *://p' |
	while read -r integer; do
		printf '%64s' "$integer" | tr ' ' 0
	done)
signature=$(printf "$(sed 's/../\\x&/g' <<<"$hex")" | base64url)
printf '%s.%s.%s\n' "$head" "$claims" "$signature"
