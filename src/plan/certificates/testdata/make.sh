#!/bin/sh
# Makes the certificates and keys that the tests of src/plan/certificates read, in the folder of this script. They were made once, with
# OpenSSL 3.0; tests give their own `now`, so nothing here has to be made again before 2126. The keys guard nothing.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
days=36500
names='subjectAltName=DNS:demo-scheduler.team-a,DNS:demo-scheduler,DNS:localhost'
both='basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth,clientAuth'
authority='basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash'

# signed FILE KEY CA DAYS EXTENSIONS [NAME]: FILE.crt for the key KEY.key, issued by CA.
signed() {
    openssl req -new -key "$2.key" -subj "/CN=${6:-$1}" -out "$work/csr"
    printf '%s\n' "$5" > "$work/extensions"
    openssl x509 -req -in "$work/csr" -CA "$3.crt" -CAkey "$work/$3.key" -days "$4" -extfile "$work/extensions" -out "$1.crt"
}

# root FILE KEY DAYS SUBJECT: FILE.crt, a self-signed CA.
root() {
    openssl req -x509 -new -key "$work/$2.key" -subj "/CN=$4" -days "$3" -out "$1.crt" \
        -addext 'keyUsage=critical,keyCertSign,cRLSign'
}

ec() { openssl genpkey -algorithm EC -pkeyopt "ec_paramgen_curve:$1" -out "$2"; }

for name in ca other-ca intermediate; do ec P-256 "$work/$name.key"; done
root ca ca "$days" 'the CA'
root other-ca other-ca "$days" 'the CA'
# The same key and name as the CA, for one day: a CA that has expired under its leaf.
root day-ca ca 1 'the CA'

# One key of each kind. leaf.key is PKCS#8; leaf-sec1.key, leaf-encrypted.key and rsa-*.key are the same keys in other dress.
ec P-256 leaf.key
ec P-384 p384.key
ec P-521 p521.key
openssl genpkey -algorithm ED25519 -out ed25519.key
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.key
openssl ecparam -name prime256v1 > leaf-sec1.key
openssl ec -in leaf.key >> leaf-sec1.key
openssl pkcs8 -topk8 -in leaf.key -passout pass:secret -out leaf-encrypted.key
openssl rsa -in rsa.key -traditional -out rsa-pkcs1.key
openssl rsa -in rsa.key -traditional -aes128 -passout pass:secret -out rsa-encrypted.key

for name in leaf p384 p521 ed25519 rsa; do signed "$name" "$name" ca "$days" "$both
$names"; done
signed plain leaf ca "$days" "$names"
signed server-only leaf ca "$days" 'extendedKeyUsage=serverAuth'
signed client-only leaf ca "$days" 'extendedKeyUsage=clientAuth'
signed no-signature leaf ca "$days" 'keyUsage=critical,keyEncipherment'
signed ca-as-leaf leaf ca "$days" 'basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,digitalSignature'
cp "$work/intermediate.key" intermediate.key
signed intermediate intermediate ca "$days" "$authority"
signed short-intermediate intermediate ca 1 "$authority" intermediate
signed below leaf intermediate "$days" "$both"
rm intermediate.key

# Self-signed: what `openssl req -x509` makes, the same without extensions but of version 3, and of version 1.
openssl req -x509 -new -key leaf.key -subj '/CN=self' -days "$days" -out self.crt
openssl req -x509 -new -key leaf.key -subj '/CN=self-plain' -days "$days" -out self-plain.crt -extensions plain -config /dev/stdin <<'CONFIG'
[req]
distinguished_name = name
[name]
[plain]
subjectAltName = DNS:demo-scheduler
CONFIG
# Issued by a certificate that is no CA.
cp leaf.key "$work/self-plain.key"
signed under-plain p384 self-plain "$days" "$both"
openssl req -new -key leaf.key -subj '/CN=v1' -out "$work/csr"
openssl x509 -req -in "$work/csr" -signkey leaf.key -days "$days" -out v1.crt
# Never ends, in the words of RFC 5280 section 4.1.2.5: later than the last moment that jiff knows.
printf '[ca]\ndefault_ca=d\n[d]\ndatabase=%s/index\nserial=%s/serial\nnew_certs_dir=%s\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n' \
    "$work" "$work" "$work" > "$work/config"
: > "$work/index"; echo 01 > "$work/serial"; printf '%s\n' "$both" > "$work/extensions"
openssl req -new -key leaf.key -subj '/CN=endless' -out "$work/csr"
openssl ca -batch -notext -config "$work/config" -cert ca.crt -keyfile "$work/ca.key" -in "$work/csr" -out endless.crt \
    -startdate 20260101000000Z -enddate 99991231235959Z -extfile "$work/extensions"

# What OpenSSL and rustls believe, and Python refuses from 3.13 on.
for name in late-ca lax-ca usage-ca v1-ca; do ec P-256 "$work/$name.key"; done
root late-ca late-ca "$days" 'the late CA'
signed no-authority-key leaf late-ca "$days" "$both
authorityKeyIdentifier=none"
printf '[req]\ndistinguished_name=name\n[name]\n[lax]\nbasicConstraints=CA:TRUE\nkeyUsage=keyCertSign\nsubjectKeyIdentifier=hash\n[usage]\nbasicConstraints=critical,CA:TRUE\nsubjectKeyIdentifier=hash\n' > "$work/config"
for name in lax usage; do
    openssl req -x509 -new -key "$work/$name-ca.key" -subj "/CN=$name" -days "$days" -out "$name-ca.crt" -extensions "$name" -config "$work/config"
    signed "under-$name" leaf "$name-ca" "$days" "$both"
done
openssl req -new -key "$work/v1-ca.key" -subj '/CN=v1-ca' -out "$work/csr"
openssl x509 -req -in "$work/csr" -signkey "$work/v1-ca.key" -days "$days" -out v1-ca.crt
signed under-v1 leaf v1-ca "$days" "$both
authorityKeyIdentifier=none"
