//! Rules for the TLS and login of a connection, in a KafkaCluster and in a ConsumerGroup with
//! `bootstrapServers`.

use serde_json::{Value, json};

use crate::objects::{cluster, group};
use crate::rules::{Case, case};

const INSECURE: &str = "PLAIN, OAUTHBEARER and AWS_MSK_IAM without tls show the password or token to the network: add tls ({} trusts the system's roots), or set allowInsecure: true";
const HTTP: &str = "sasl.oauth.tokenEndpoint over http shows the client secret to the network: write https://, or set allowInsecure: true";
const PASSWORD: &str =
    "PLAIN and SCRAM need passwordSecret and exactly one of username and usernameSecret";
const NO_PASSWORD: &str = "username, usernameSecret and passwordSecret go with PLAIN and SCRAM: OAUTHBEARER logs in by oauth, AWS_MSK_IAM by aws, GSSAPI by the operator's keytab";
const OAUTH: &str = "oauth goes with mechanism: OAUTHBEARER, and OAUTHBEARER needs oauth";
const AWS: &str = "aws goes with mechanism: AWS_MSK_IAM, and AWS_MSK_IAM needs aws";
const KERBEROS: &str = "kerberos goes with mechanism: GSSAPI";
const SERVICE: &str = "write the first part of the brokers' principals, such as kafka";
const INLINE: &str = "tls, sasl and allowInsecure go with bootstrapServers: a KafkaCluster has its own, remove them here";
const ONE_NAME: &str = "set exactly one of secretName and configMapName";
const SECRET: &str = "write the name of a Secret: lower case letters, digits, '-' and '.'";
const CONFIG_MAP: &str = "write the name of a ConfigMap: lower case letters, digits, '-' and '.'";
const KEY: &str = "write a key of the Secret or ConfigMap: letters, digits, '-', '_' and '.'";
const ENDPOINT: &str =
    "write the token endpoint as a URL, such as https://login.example.com/oauth2/token";
const REGION: &str = "write a region of AWS, such as eu-central-1";
const NAME: &str = "write names of extensions in letters alone; auth is the token's own";
const VALUE: &str = "write the value of an extension in printable ASCII characters";

/// Builds an object of one of the two kinds with this connection.
type Within = fn(Value) -> Value;

fn within_group(connection: Value) -> Value {
    let mut kafka = json!({ "clusterRef": null, "bootstrapServers": ["kafka:9093"] });
    let Value::Object(fields) = connection else {
        panic!("{connection} is not an object")
    };
    kafka.as_object_mut().unwrap().extend(fields);
    group(json!({ "kafka": kafka }))
}

/// Every rule of a connection, once for each kind.
pub(crate) fn of_connections() -> Vec<Case> {
    let kinds: [(&str, Within); 2] = [("spec", cluster), ("spec.kafka", within_group)];
    let each = |(at, within): (&'static str, Within)| {
        let mut cases = of_plain_text(at, within);
        cases.extend(of_logins(within));
        cases.extend(of_tls(within));
        cases.extend(of_oauth(within));
        cases.extend(of_aws(within));
        cases.extend(of_kerberos(within));
        cases
    };
    let mut cases: Vec<_> = kinds.into_iter().flat_map(each).collect();
    cases.extend(of_a_reference());
    cases
}

fn of_a_reference() -> Vec<Case> {
    let inline = |connection: Value| within_group(connection);
    let beside = |connection: Value| group(json!({ "kafka": connection }));
    [
        json!({ "tls": {} }),
        json!({ "sasl": scram("SCRAM-SHA-512") }),
        json!({ "allowInsecure": true }),
        json!({ "allowInsecure": false }),
    ]
    .into_iter()
    .map(|connection| {
        case(
            "spec.kafka",
            beside(connection.clone()),
            INLINE,
            inline(connection),
        )
    })
    .collect()
}

fn scram(mechanism: &str) -> Value {
    json!({ "mechanism": mechanism, "username": "lagrange", "passwordSecret": { "secretName": "lagrange" } })
}

fn oauth(changes: &Value) -> Value {
    let mut oauth = json!({
        "tokenEndpoint": "https://login.example.com/oauth2/token",
        "clientId": "lagrange",
        "clientSecret": { "secretName": "lagrange" },
    });
    let fields = changes.as_object().unwrap().clone();
    oauth.as_object_mut().unwrap().extend(fields);
    json!({ "mechanism": "OAUTHBEARER", "oauth": oauth })
}

fn aws(region: &str) -> Value {
    json!({ "mechanism": "AWS_MSK_IAM", "aws": { "region": region, "credentialsSecret": { "secretName": "lagrange" } } })
}

fn kerberos(service: &str) -> Value {
    json!({ "mechanism": "GSSAPI", "kerberos": { "serviceName": service } })
}

fn with(mut object: Value, field: &str, value: Value) -> Value {
    object[field] = value;
    object
}

fn of_plain_text(at: &'static str, within: Within) -> Vec<Case> {
    let over_http = oauth(&json!({ "tokenEndpoint": "http://keycloak.auth:8080/token" }));
    let open = |sasl: &Value| within(json!({ "sasl": sasl }));
    let over_tls = |sasl: &Value| within(json!({ "sasl": sasl, "tls": {} }));
    let knowingly = |sasl: &Value| within(json!({ "sasl": sasl, "allowInsecure": true }));
    let mut cases = Vec::new();
    for sasl in [scram("PLAIN"), oauth(&json!({})), aws("eu-central-1")] {
        cases.push(case(at, open(&sasl), INSECURE, over_tls(&sasl)));
        let said_no = within(json!({ "sasl": sasl, "allowInsecure": false }));
        cases.push(case(at, said_no, INSECURE, knowingly(&sasl)));
    }
    cases.push(case(
        at,
        over_tls(&over_http),
        HTTP,
        over_tls(&oauth(&json!({}))),
    ));
    cases.push(case(
        at,
        open(&over_http),
        HTTP,
        within(json!({ "sasl": over_http, "tls": {}, "allowInsecure": true })),
    ));
    // SCRAM does not send the password, and allowInsecure may be set without need.
    cases.push(case(
        at,
        open(&scram("PLAIN")),
        INSECURE,
        open(&scram("SCRAM-SHA-256")),
    ));
    cases.push(case(
        at,
        open(&scram("PLAIN")),
        INSECURE,
        within(json!({ "allowInsecure": true })),
    ));
    cases
}

fn of_logins(within: Within) -> Vec<Case> {
    let login = |sasl: Value| within(json!({ "sasl": sasl, "tls": {} }));
    let (user, password) = (
        json!({ "secretName": "who" }),
        json!({ "secretName": "pass", "key": "word" }),
    );
    let from_secrets =
        json!({ "mechanism": "SCRAM-SHA-512", "usernameSecret": user, "passwordSecret": password });
    let mut cases = Vec::new();
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let incomplete = [
            json!({ "mechanism": mechanism }),
            json!({ "mechanism": mechanism, "username": "lagrange" }),
            json!({ "mechanism": mechanism, "passwordSecret": password }),
            with(scram(mechanism), "usernameSecret", user.clone()),
        ];
        let good = scram(mechanism);
        cases.extend(
            incomplete.map(|sasl| case("sasl", login(sasl), PASSWORD, login(good.clone()))),
        );
        for (field, message, whose) in [
            ("oauth", OAUTH, oauth(&json!({}))),
            ("aws", AWS, aws("us-gov-west-1")),
        ] {
            let both = with(scram(mechanism), field, whose[field].clone());
            cases.push(case(
                "sasl",
                login(both),
                message,
                login(from_secrets.clone()),
            ));
            cases.push(case(
                "sasl",
                login(json!({ "mechanism": whose["mechanism"] })),
                message,
                login(whose.clone()),
            ));
        }
    }
    for own in [oauth(&json!({})), aws("cn-north-1"), kerberos("kafka")] {
        for (field, value) in [
            ("username", json!("lagrange")),
            ("usernameSecret", user.clone()),
            ("passwordSecret", password.clone()),
        ] {
            let both = with(own.clone(), field, value);
            cases.push(case("sasl", login(both), NO_PASSWORD, login(own.clone())));
        }
    }
    cases
}

fn of_tls(within: Within) -> Vec<Case> {
    let trusting = |source: Value| {
        within(json!({ "tls": { "trustedCertificates": [{"secretName": "first"}, source] } }))
    };
    let showing = |changes: Value| {
        let mut certificate = json!({ "secretName": "lagrange" });
        let fields = changes.as_object().unwrap().clone();
        certificate.as_object_mut().unwrap().extend(fields);
        within(json!({ "tls": { "clientCertificate": certificate } }))
    };
    vec![
        case(
            "tls.trustedCertificates[1]",
            trusting(json!({ "key": "ca.crt" })),
            ONE_NAME,
            trusting(json!({ "configMapName": "kube-root-ca.crt" })),
        ),
        case(
            "tls.trustedCertificates[1]",
            trusting(json!({ "secretName": "a", "configMapName": "b" })),
            ONE_NAME,
            trusting(json!({ "secretName": "main-cluster-ca-cert", "key": "ca.crt" })),
        ),
        case(
            "tls.trustedCertificates[1].secretName",
            // The name is used in a field selector, so it must not extend it.
            trusting(json!({ "secretName": "a,metadata.namespace=b" })),
            SECRET,
            trusting(json!({ "secretName": "a.b-c" })),
        ),
        case(
            "tls.trustedCertificates[1].configMapName",
            trusting(json!({ "configMapName": "Roots" })),
            CONFIG_MAP,
            trusting(json!({ "configMapName": "roots" })),
        ),
        case(
            "tls.trustedCertificates[1].key",
            trusting(json!({ "secretName": "a", "key": "certs/ca.crt" })),
            KEY,
            trusting(json!({ "secretName": "a", "key": "Certs_ca-1.crt" })),
        ),
        case(
            "tls.clientCertificate.secretName",
            showing(json!({ "secretName": "" })),
            SECRET,
            showing(json!({})),
        ),
        case(
            "tls.clientCertificate.privateKeyKey",
            showing(json!({ "privateKeyKey": "tls key" })),
            KEY,
            showing(json!({ "certificateKey": "tls.crt", "privateKeyKey": "tls.key" })),
        ),
    ]
}

fn of_oauth(within: Within) -> Vec<Case> {
    let asking = |changes: Value| within(json!({ "sasl": oauth(&changes), "tls": {} }));
    let at = |url: &str| asking(json!({ "tokenEndpoint": url }));
    let extending = |name: &str, value: &str| asking(json!({ "extensions": { name: value } }));
    let mut cases: Vec<_> = [
        "login.example.com/token",
        "https://user:password@login.example.com/token",
        "https://login.example.com/to ken",
        "https://login.example.com:0/token",
        "file:///etc/passwd",
        "https://",
        "",
    ]
    .map(|url| {
        case(
            "tokenEndpoint",
            at(url),
            ENDPOINT,
            at("https://[fd00::1]:8443/realms/kafka/token?audience=kafka"),
        )
    })
    .into();
    cases.extend([
        case(
            "extensions",
            extending("logical-cluster", "lkc-1"),
            NAME,
            extending("logicalCluster", "lkc-1"),
        ),
        case(
            "extensions",
            extending("auth", "Bearer"),
            NAME,
            extending("author", ""),
        ),
        case(
            "extensions[logicalCluster]",
            extending("logicalCluster", "lkc-1\nother=x"),
            VALUE,
            extending("identityPoolId", "pool-1,pool-2"),
        ),
        case(
            "trustedCertificates[0]",
            asking(json!({ "trustedCertificates": [{}] })),
            ONE_NAME,
            asking(json!({ "trustedCertificates": [{ "configMapName": "keycloak" }] })),
        ),
        case(
            "clientSecret.key",
            asking(json!({ "clientSecret": { "secretName": "a", "key": "" } })),
            KEY,
            asking(
                json!({ "clientSecret": { "secretName": "a", "key": "client-secret" }, "scope": "kafka.read openid" }),
            ),
        ),
    ]);
    cases
}

/// A ticket may be sent without TLS, because it is not a password. The schema has no rule on
/// whether the build has Kerberos.
fn of_kerberos(within: Within) -> Vec<Case> {
    let open = |sasl: Value| within(json!({ "sasl": sasl }));
    let service = |name: &str| open(kerberos(name));
    let both = with(
        scram("SCRAM-SHA-512"),
        "kerberos",
        json!({ "serviceName": "kafka" }),
    );
    let plain = open(json!({ "mechanism": "GSSAPI" }));
    let mut cases = vec![case("sasl", open(both), KERBEROS, plain)];
    for name in ["kafka/broker", "kafka@EXAMPLE.COM"] {
        cases.push(case(
            "serviceName",
            service(name),
            SERVICE,
            service("kafka-prod"),
        ));
    }
    cases
}

fn of_aws(within: Within) -> Vec<Case> {
    let region = |name: &str| within(json!({ "sasl": aws(name), "tls": {} }));
    // Without an access key, the login uses the role of the operator's Pod.
    let of_pod = json!({ "mechanism": "AWS_MSK_IAM", "aws": { "region": "eu-central-1" } });
    let mut cases = vec![case(
        "sasl",
        within(json!({ "sasl": { "mechanism": "AWS_MSK_IAM" }, "tls": {} })),
        AWS,
        within(json!({ "sasl": of_pod, "tls": {} })),
    )];
    let regions = [
        "eu-central-1a",
        "EU-CENTRAL-1",
        "eu",
        "eu-central-1.evil.example",
        "",
    ];
    cases.extend(regions.map(|name| {
        case(
            "sasl.aws.region",
            region(name),
            REGION,
            region("eusc-de-east-1"),
        )
    }));
    cases
}
