# shellcheck shell=bash
# shellcheck disable=SC2154 # here, env_dir, nodes, ports, pod_address, behind, secure_ports ...: of the script that sources this
# Sourced by kafka.sh: brokers with TLS, SASL and an authorizer, and changes while they run.
# shellcheck source=../certificates.sh
. "$env_dir/certificates.sh"

doors=(sasl-plaintext sasl-ssl ssl wrong-host) # names of callers; the brokers' names are in capitals
issuer=https://issuer.test audience=kafka      # what the brokers require in a JWT
realm=LAGRANGE.TEST
secured() { [ -n "$secure" ] || die "these brokers are not secure" "start them with --secure"; }

# --- before the brokers start --------------------------------------------------------------------

secure_up() { # sets secure_ports; fills users/
  local user
  need openssl:openssl
  mapfile -t secure_ports < <(reserve_ports $((${#doors[@]} * nodes)))
  [ ${#secure_ports[@]} = $((${#doors[@]} * nodes)) ] || die "no ports"
  mkdir "$STATE"/{tls,users,oauth}
  for user in lagrange other; do
    (umask 077; head -c 24 /dev/urandom | base64 | tr '+/' ab > "$STATE/users/$user")
  done
  [ -z "$kerberos" ] || kerberos_up
}
# A KDC on loopback, with database and keytabs in kerberos/. The brokers are kafka/127.0.0.1, a name
# that is not canonicalised.
kerberos_up() { # sets kerberos to its directory
  need /usr/sbin/krb5kdc:krb5-kdc /usr/sbin/kadmin.local:krb5-admin-server
  local port principal life
  kerberos=$STATE/kerberos
  mkdir -m 700 "$kerberos"
  port=$(reserve_ports 1)
  cat > "$kerberos/krb5.conf" << END
[libdefaults]
  default_realm = $realm
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1
[realms]
  $realm = {
    kdc = 127.0.0.1:$port
  }
END
  cat > "$kerberos/kdc.conf" << END
[kdcdefaults]
  kdc_listen = 127.0.0.1:$port
  kdc_tcp_listen = 127.0.0.1:$port
[logging]
  kdc = FILE:$STATE/log/tickets.log
[realms]
  $realm = {
    database_name = $kerberos/principal
    key_stash_file = $kerberos/stash
    acl_file = $kerberos/acl
    supported_enctypes = aes256-cts-hmac-sha1-96:normal
  }
END
  # These are tools of the KDC; `kerberos` is for the brokers.
  export KRB5_CONFIG=$kerberos/krb5.conf KRB5_KDC_PROFILE=$kerberos/kdc.conf
  {
    /usr/sbin/kdb5_util create -r "$realm" -s -P "$(head -c 24 /dev/urandom | base64)"
    for principal in kafka/127.0.0.1 lagrange other; do
      # Tickets of users expire soon, so that tests cover their renewal.
      life=
      [ "$principal" = kafka/127.0.0.1 ] || life='-maxlife 20s'
      /usr/sbin/kadmin.local -r "$realm" -q "addprinc -randkey $life $principal"
      /usr/sbin/kadmin.local -r "$realm" -q "ktadd -k $kerberos/${principal%/*}.keytab $principal"
    done
  } > "$STATE/log/kadmin.log" 2>&1 < /dev/null || die "no Kerberos database; see $STATE/log/kadmin.log"
  start kdc /usr/sbin/krb5kdc -n -r "$realm"
  until_true 20 "the KDC to listen" listens "$port" || exit 1
}
listens() { (: < "/dev/tcp/127.0.0.1/$1") 2> /dev/null; } # listens PORT
identities() { # fills tls/ and oauth/, while the data directories are formatted
  (cd "$STATE/tls" || exit; certificates; cd "$STATE/oauth" || exit; signing_key) > "$STATE/log/openssl.log" 2>&1
}
certificates() {
  local past=(-days -1) names=DNS:localhost,IP:127.0.0.1${pod_address:+,IP:$pod_address} name
  # OpenSSL 3.4 and later need explicit dates for an expired certificate.
  case $(openssl x509 -help 2>&1) in *-not_after*) past=(-not_before 20200101000000Z -not_after 20200102000000Z) ;; esac
  authority ca
  authority ca2
  authority foreign-ca
  certificate ca server-ca /CN=broker "$names"
  certificate ca2 server-ca2 /CN=broker "$names"
  certificate ca wrong-host /CN=broker DNS:elsewhere.invalid
  certificate ca user /CN=lagrange
  certificate ca expired /CN=lagrange '' "${past[@]}"
  certificate foreign-ca foreign /CN=lagrange
  new_key unfitting
  cat user.key user.crt > user.pem
  for name in server-ca server-ca2 wrong-host; do cat "$name.key" "$name.crt" > "$name.pem"; done
}
signing_key() { # key.pem, and the key set with which the brokers check its signatures
  local modulus
  openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out key.pem 2> /dev/null
  modulus=$(openssl rsa -in key.pem -noout -modulus)
  # shellcheck disable=SC2001,SC2059 # hexadecimal digits, in pairs
  cat > jwks.json << END
{"keys": [{"kty": "RSA", "kid": "test", "alg": "RS256", "use": "sig", "e": "AQAB", "n": "$(printf "$(sed 's/../\\x&/g' <<< "${modulus#*=}")" | base64url)"}]}
END
}
base64url() { base64 -w 0 | tr '+/' '-_' | tr -d =; }
secure_flags() { # arguments of a broker's JVM
  # Since Kafka 4.0 URLs must be allowed by name.
  printf '%s\n' "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=file://$STATE/oauth/jwks.json" \
    "-Dorg.apache.kafka.sasl.oauthbearer.allowed.files=$STATE/oauth/jwks.json"
  [ -z "$kerberos" ] || echo "-Djava.security.krb5.conf=$kerberos/krb5.conf"
}
early() { case $version in 3.[0-4].*) ;; *) false ;; esac; } # Kafka without SCRAM in KRaft
scram_users() { # arguments of the formatter
  local user mechanism
  ! early || return 0
  for user in lagrange other; do
    for mechanism in 256 512; do
      printf '%s\n' --add-scram "SCRAM-SHA-$mechanism=[name=$user,password=$(< "$STATE/users/$user")]"
    done
  done
}
secure_address() { # secure_address DOOR NODE
  local i
  for i in "${!doors[@]}"; do
    if [ "${doors[i]}" = "$1" ]; then
      echo "${pod_address:-127.0.0.1}:${secure_ports[($2 - 1) * ${#doors[@]} + i]}"
      return
    fi
  done
  die "no listener '$1'" "the listeners are: ${doors[*]}"
}
secure_listeners() { # secure_listeners NODE
  local door list=''
  for door in "${doors[@]}"; do
    list+=,$(broker_name "$door")://$(secure_address "$door" "$1")
  done
  echo "$list"
}
secure_advertised() { # secure_advertised NODE: the same, except with --behind
  local list sasl_ssl
  list=$(secure_listeners "$1")
  if [ ${#behind[@]} -gt 0 ]; then
    sasl_ssl=SASL_SSL://$(secure_address sasl-ssl "$1")
    list=${list/"$sasl_ssl"/SASL_SSL://${behind[$1 - 1]}}
  fi
  echo "$list"
}
broker_name() { tr 'a-z-' 'A-Z_' <<< "$1"; } # broker_name DOOR
secure_properties() {
  local door name scram=,SCRAM-SHA-256,SCRAM-SHA-512 bearer=org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler
  ! early || scram='' bearer=${bearer/OAuthBearerV/secured.OAuthBearerV}
  [ "$oauth" != msk ] || bearer=MskTokens
  cat << END
# Only the plaintext listener and that of the controllers accept clients without authentication.
super.users=User:ANONYMOUS
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
ssl.keystore.type=PEM
ssl.keystore.location=$STATE/tls/server-ca.pem
ssl.truststore.type=PEM
ssl.truststore.location=$STATE/tls/ca.crt
ssl.principal.mapping.rules=RULE:^CN=([^,]+).*\$/\$1/
listener.name.ssl.ssl.client.auth=required
listener.name.wrong_host.ssl.keystore.type=PEM
listener.name.wrong_host.ssl.keystore.location=$STATE/tls/wrong-host.pem
sasl.enabled.mechanisms=PLAIN$scram,OAUTHBEARER${kerberos:+,GSSAPI}
${kerberos:+sasl.kerberos.service.name=kafka}
sasl.oauthbearer.jwks.endpoint.url=file://$STATE/oauth/jwks.json
sasl.oauthbearer.expected.issuer=$issuer
sasl.oauthbearer.expected.audience=$audience
END
  # In a file of properties a later line overrides an earlier one.
  # shellcheck disable=SC2016 # a class within a class
  [ "$oauth" != ending ] || printf '%s\n' authorizer.class.name=EndingTokens 'principal.builder.class=EndingTokens$Principals'
  for door in sasl-plaintext sasl-ssl wrong-host; do
    name=$(broker_name "$door")
    cat << END
listener.name.${name,,}.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_lagrange="$(< "$STATE/users/lagrange")" user_other="$(< "$STATE/users/other")";
listener.name.${name,,}.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.${name,,}.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.${name,,}.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;
listener.name.${name,,}.oauthbearer.sasl.server.callback.handler.class=$bearer
END
    [ -z "$kerberos" ] || cat << END
listener.name.${name,,}.gssapi.sasl.jaas.config=com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true storeKey=true keyTab="$kerberos/kafka.keytab" principal="kafka/127.0.0.1@$realm";
END
  done
}

# --- while they run ------------------------------------------------------------------------------

tools() { # sets tools, the path of the classes that tool() and the brokers use in addition to Kafka's
  need javac:openjdk-17-jdk-headless
  tools=$lib-tools-$(cat "$here"/tools/*.java | sha256sum | cut -c 1-8)
  populate "$tools" compile
}
compile() {
  step "$1.log" "Compiling the tools for Kafka $version" "Check that the Java compiler has version 17 or later" \
    javac --release 17 -nowarn -cp "$classpath" -d "$1" "$here"/tools/*.java
}
tool() { # tool VERB [ARGUMENT...]: as super user
  local flags
  fetch
  tools
  mapfile -t flags < <(logging "$STATE/log/tool.log")
  "${jvm[@]}" -Xmx64m "${flags[@]}" -cp "$classpath$tools" Tool "$(servers '')" "$@"
}
renew_ca() { # renew_ca AUTHORITY
  [ -e "$STATE/tls/server-$1.pem" ] || die "no CA '$1'" "the CAs are ca and ca2"
  local i door
  tool keystore "$STATE/tls/server-$1.pem" sasl_ssl ssl
  for ((i = 1; i <= nodes; i++)); do
    for door in sasl-ssl ssl; do
      until_true 20 "broker $i to serve a certificate of $1" served_by "$1" "$(secure_address "$door" "$i")" || exit 1
    done
  done
}
served_by() { # served_by AUTHORITY ADDRESS
  openssl s_client -connect "$2" -CAfile "$STATE/tls/$1.crt" -cert "$STATE/tls/user.crt" -key "$STATE/tls/user.key" -verify_return_error < /dev/null
}
token() { # token USER SECONDS: a token as an OAuth server, or the signer of MSK, would issue it
  local now head body date
  now=$(date +%s)
  if [ "$oauth" = msk ]; then
    date=$(date -u -d "@$(($2 < 0 ? now + $2 * 2 : now))" +%Y%m%dT%H%M%SZ)
    printf %s "https://kafka.us-east-1.amazonaws.com/?Action=kafka-cluster%3AConnect&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIATEST%2F${date%T*}%2Fus-east-1%2Fkafka-cluster%2Faws4_request&X-Amz-Date=$date&X-Amz-Expires=${2#-}&X-Amz-SignedHeaders=host&X-Amz-Signature=$(openssl rand -hex 32)&User-Agent=kafka.sh" | base64url
  else
    head=$(base64url <<< '{"alg": "RS256", "kid": "test", "typ": "JWT"}')
    body=$(base64url <<< "{\"sub\": \"$1\", \"iss\": \"$issuer\", \"aud\": \"$audience\", \"iat\": $((now - 3600)), \"exp\": $((now + $2))}")
    printf '%s.%s.%s' "$head" "$body" "$(printf %s "$head.$body" | openssl dgst -sha256 -sign "$STATE/oauth/key.pem" | base64url)"
  fi
  echo
}
logins() { # logins GROUP
  local door places=()
  for door in sasl-plaintext sasl-ssl ssl; do places+=("$door=$(servers "$door")"); done
  tool logins "$STATE/tls" "$(< "$STATE/users/lagrange")" "$(token lagrange 600)" "$1" "${places[@]}"
}
