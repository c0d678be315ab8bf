# shellcheck shell=bash
# Makes certificates with openssl in the current directory: P-256, keys as PKCS#8 PEM. Sourced by
# scripts that need certificates.

authority() { # authority NAME
  new_key "$1"
  openssl req -x509 -new -key "$1.key" -days 3650 -subj "/CN=$1" -out "$1.crt" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature
}
certificate() { # certificate AUTHORITY NAME SUBJECT [ALTERNATIVE_NAMES [VALIDITY...]]
  local authority=$1 name=$2 subject=$3 names=${4:-}
  shift 3; [ $# = 0 ] || shift
  [ $# -gt 0 ] || set -- -days 3650
  new_key "$name"
  openssl req -new -key "$name.key" -subj "$subject" -out "$name.csr"
  {
    printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n'
    [ -z "$names" ] || echo "subjectAltName=$names"
  } > "$name.ext"
  openssl x509 -req -in "$name.csr" -CA "$authority.crt" -CAkey "$authority.key" -set_serial "0x$(openssl rand -hex 12)" "$@" -extfile "$name.ext" -out "$name.crt" 2> /dev/null
  rm -f "$name.csr" "$name.ext"
}
new_key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" 2> /dev/null; } # new_key NAME
