#!/bin/sh
# Makes the key and certificate files beside this script: one of every kind that
# users bring, written by openssl and not by the code that reads them. They are
# test material, known to everybody; no password protects anything (it is
# "secret" throughout).
#
# Needs OpenSSL 3 with its legacy provider. Run it only to add a kind: every run
# makes new keys, and a thousand lines of base64 change for nothing.
set -eu
cd "$(dirname "$0")"
out=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

days=36500 # the tests look at dates with a clock of their own
team=A1B2C3D4E5
secret=pass:secret

cat > extensions.cnf <<'CNF'
[root]
basicConstraints = critical,CA:TRUE
subjectKeyIdentifier = hash
[intermediate]
basicConstraints = critical,CA:TRUE,pathlen:0
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
1.2.840.113635.100.6.2.1 = ASN1:NULL
[universal]
extendedKeyUsage = clientAuth
authorityKeyIdentifier = keyid
1.2.840.113635.100.6.3.1 = ASN1:NULL
1.2.840.113635.100.6.3.2 = ASN1:NULL
1.2.840.113635.100.6.3.6 = ASN1:SEQUENCE:universal_topics
[universal_topics]
t0 = UTF8String:com.example.app
t1 = SEQWRAP,UTF8String:app
t2 = UTF8String:com.example.app.voip
t3 = SEQWRAP,UTF8String:voip
t4 = UTF8String:com.example.app.complication
t5 = SEQWRAP,UTF8String:complication
[sandbox]
extendedKeyUsage = clientAuth
1.2.840.113635.100.6.3.1 = ASN1:NULL
[production]
extendedKeyUsage = clientAuth
1.2.840.113635.100.6.3.2 = ASN1:NULL
[voip]
extendedKeyUsage = clientAuth
1.2.840.113635.100.6.3.1 = ASN1:NULL
1.2.840.113635.100.6.3.2 = ASN1:NULL
1.2.840.113635.100.6.3.4 = ASN1:NULL
1.2.840.113635.100.6.3.6 = ASN1:SEQUENCE:voip_topics
[voip_topics]
t0 = UTF8String:com.example.app
t1 = SEQWRAP,UTF8String:app
t2 = UTF8String:com.example.app.voip
t3 = SEQWRAP,UTF8String:voip
[pass]
extendedKeyUsage = clientAuth,1.2.840.113635.100.4.14
1.2.840.113635.100.6.1.16 = ASN1:UTF8String:pass.com.example.test
1.2.840.113635.100.6.3.2 = ASN1:NULL
[website]
extendedKeyUsage = clientAuth
1.2.840.113635.100.6.1.17 = ASN1:UTF8String:web.com.example.domain
1.2.840.113635.100.6.3.2 = ASN1:NULL
CNF

quiet() { "$@" 2>/dev/null; }

# certificate NAME SUBJECT ISSUER SECTION KEY
certificate() {
	openssl req -new -key "$5" -subj "$2" -out "$1.csr"
	quiet openssl x509 -req -in "$1.csr" -CA "$3.pem" -CAkey "$3.key" -CAcreateserial \
		-sha256 -days $days -extfile extensions.cnf -extensions "$4" -out "$1.pem"
}

# Two authorities that stand in for Apple's.
quiet openssl genrsa -out root.key 2048
openssl req -new -key root.key -subj "/O=Example Root/CN=Test Root CA" -out root.csr
quiet openssl x509 -req -in root.csr -signkey root.key -sha256 -days $days \
	-extfile extensions.cnf -extensions root -out root.pem
quiet openssl genrsa -out wwdr.key 2048
certificate wwdr "/CN=Test Worldwide Developer Relations Certification Authority/OU=G4/O=Example" root intermediate wwdr.key

# One RSA and one EC key serve all leaves: the certificates are what differs.
quiet openssl genrsa -out leaf.key 2048
openssl ecparam -name prime256v1 -genkey -noout -out ec.key
quiet openssl genrsa -out other.key 2048

rest="OU=$team/O=Example/C=US"
certificate apns "/UID=com.example.app/CN=Apple Push Services: com.example.app/$rest" wwdr universal leaf.key
certificate apnsdev "/UID=com.example.app/CN=Apple Development IOS Push Services: com.example.app/$rest" wwdr sandbox leaf.key
certificate apnsprod "/UID=com.example.app/CN=Apple Production IOS Push Services: com.example.app/$rest" wwdr production leaf.key
certificate voip "/UID=com.example.app.voip/CN=VoIP Services: com.example.app/$rest" wwdr voip leaf.key
certificate watchkit "/UID=com.example.app.watchkitapp.complication/CN=WatchKit Services: com.example.app.watchkitapp/$rest" wwdr production leaf.key
certificate pass "/UID=pass.com.example.test/CN=Pass Type ID: pass.com.example.test/$rest" wwdr pass leaf.key
certificate passec "/UID=pass.com.example.test/CN=Pass Type ID: pass.com.example.test/$rest" wwdr pass ec.key
certificate order "/UID=order.com.example.test/CN=Order Type ID: order.com.example.test/$rest" wwdr production leaf.key
certificate website "/UID=web.com.example.domain/CN=Website Push ID: web.com.example.domain/$rest" wwdr website leaf.key
certificate mdm "/UID=com.apple.mgmt.External.00000000-0000-0000-0000-000000000001/CN=APSP:00000000-0000-0000-0000-000000000001/C=US" wwdr production leaf.key
for name in apns apnsdev apnsprod voip watchkit pass passec order website mdm wwdr; do
	cp $name.pem "$out/$name.pem"
done
cp apns.csr "$out/apns.csr"
openssl x509 -in apns.pem -outform DER -out "$out/apns.cer"
openssl crl2pkcs7 -nocrl -certfile apns.pem -outform DER -out "$out/apns.p7b"

# PKCS#12.
p12() { # NAME options...
	name=$1
	shift
	openssl pkcs12 -export -inkey leaf.key -in apns.pem -passout $secret "$@" -out "$out/$name.p12"
}
p12 keychain-style -legacy -name "Apple Push Services: com.example.app" \
	-keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-RC2-40 -macalg sha1
p12 des -keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES -macalg sha1
p12 openssl3
p12 openssl3-chain -certfile wwdr.pem
p12 legacy-chain -legacy -certfile wwdr.pem
p12 openssl3-nopass -passout pass:
p12 legacy-nopass -legacy -passout pass:
p12 sha512 -macalg sha512 -keypbe AES-128-CBC -certpbe AES-192-CBC
p12 sha384 -macalg sha384
p12 noenc -keypbe NONE -certpbe NONE
p12 nomac -nomac
openssl pkcs12 -export -inkey ec.key -in passec.pem -passout $secret -out "$out/ec.p12"
openssl pkcs12 -export -nokeys -in apns.pem -passout $secret -out "$out/nokey.p12"
openssl pkcs12 -export -nokeys -in apns.pem -legacy -passout $secret -out "$out/nokey-legacy.p12"
openssl pkcs12 -export -inkey leaf.key -nocerts -passout $secret -out "$out/nocert.p12"

# PEM.
cat apns.pem leaf.key > "$out/apns-both.pem"
cat leaf.key wwdr.pem apns.pem > "$out/apns-key-first-chain.pem"
cat other.key apns.pem > "$out/apns-mismatch.pem"
openssl pkcs12 -in "$out/keychain-style.p12" -legacy -nodes -passin $secret > "$out/keychain-export.pem"
openssl ecparam -name prime256v1 -out parameters.pem
cat parameters.pem ec.key passec.pem > "$out/passec-parameters.pem"

key() { # NAME command...: an encrypted key with the certificate that belongs to it
	name=$1
	shift
	quiet "$@" > key.tmp
	cat key.tmp apns.pem > "$out/$name.pem"
}
key pkcs1 openssl rsa -in leaf.key -traditional
key pkcs1-aes256 openssl rsa -in leaf.key -aes256 -passout $secret -traditional
key pkcs1-3des openssl rsa -in leaf.key -des3 -passout $secret -traditional
key pkcs8-pbes2 openssl pkcs8 -topk8 -in leaf.key -passout $secret
key pkcs8-aes128 openssl pkcs8 -topk8 -v2 aes-128-cbc -v2prf hmacWithSHA512 -in leaf.key -passout $secret
key pkcs8-aes192-sha1 openssl pkcs8 -topk8 -v2 aes-192-cbc -v2prf hmacWithSHA1 -in leaf.key -passout $secret
key pkcs8-aes256-sha384 openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA384 -in leaf.key -passout $secret
key pkcs8-3des openssl pkcs8 -topk8 -v2 des3 -v2prf hmacWithSHA224 -in leaf.key -passout $secret
key pkcs8-scrypt openssl pkcs8 -topk8 -scrypt -in leaf.key -passout $secret
key pkcs8-v1-sha1-3des openssl pkcs8 -topk8 -v1 PBE-SHA1-3DES -in leaf.key -passout $secret
key pkcs8-v1-md5-des openssl pkcs8 -topk8 -v1 PBE-MD5-DES -provider legacy -provider default -in leaf.key -passout $secret
key pkcs8-v1-sha1-rc2 openssl pkcs8 -topk8 -v1 PBE-SHA1-RC2-128 -provider legacy -provider default -in leaf.key -passout $secret

# Signing keys.
openssl ecparam -name prime256v1 -genkey -noout -out signing.key
openssl pkcs8 -topk8 -nocrypt -in signing.key -out "$out/AuthKey_ABC123DEFG.p8"
cp signing.key "$out/sec1.p8"
sed 's/EC PRIVATE KEY/PRIVATE KEY/' signing.key > "$out/sec1-mislabelled.p8"
openssl ec -in signing.key -pubout -out "$out/public.pem" 2>/dev/null
openssl pkcs8 -topk8 -in signing.key -passout $secret -out "$out/encrypted.p8"
openssl ecparam -name secp384r1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out "$out/p384.p8"
openssl genpkey -algorithm ed25519 -out "$out/ed25519.p8"
