//! Brokers with TLS, SASL and an authorizer, and operations of tests on them. `Kafka::bootstrap` is
//! their plaintext listener, at which a test may do anything; at the others no user has rights
//! before `allow`. The user is `User:lagrange`, with any kind of login.

use std::sync::OnceLock;

use crate::kafka::Kafka;
use crate::proxy::Proxy;

/// A listener that requires authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// A login, and no TLS.
    SaslPlaintext,
    /// TLS with a server certificate only, and a login.
    SaslSsl,
    /// TLS with a client certificate.
    Ssl,
    /// `SaslSsl` with a certificate for another host.
    WrongHost,
}

impl Listener {
    fn name(self) -> &'static str {
        match self {
            Self::SaslPlaintext => "sasl-plaintext",
            Self::SaslSsl => "sasl-ssl",
            Self::Ssl => "ssl",
            Self::WrongHost => "wrong-host",
        }
    }
}

/// The tokens that OAUTHBEARER accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tokens {
    /// Signed by `signing_key`: RS256, kid `test`, `iss` [`ISSUER`], `aud` [`AUDIENCE`].
    Jwt,
    /// The same, but a connection loses all rights when its first token expires.
    Ending,
    /// Presigned URLs, as for Amazon MSK.
    Msk,
}

/// `iss` of a token that the brokers accept.
pub const ISSUER: &str = "https://issuer.test";
/// `aud` of a token that the brokers accept.
pub const AUDIENCE: &str = "kafka";

impl Kafka {
    /// One secure broker, shared by the whole test program, with its ACLs: use your own names for
    /// topics and groups.
    pub async fn shared_secure() -> &'static Self {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        let start = || SHARED.get_or_init(|| Self::start_now(1, &["--secure"]));
        tokio::task::spawn_blocking(start).await.unwrap()
    }

    /// Secure brokers for this test only, with more broker properties (`KEY=VALUE`). They end when
    /// this is dropped.
    pub async fn secure(nodes: u32, tokens: Tokens, properties: &'static [&'static str]) -> Self {
        let mut more = vec!["--secure"];
        match tokens {
            Tokens::Jwt => {}
            Tokens::Ending => more.extend(["--oauth", "ending"]),
            Tokens::Msk => more.extend(["--oauth", "msk"]),
        }
        more.extend(properties.iter().flat_map(|it| ["--property", it]));
        tokio::task::spawn_blocking(move || Self::start_now(nodes, &more))
            .await
            .unwrap()
    }

    /// Secure brokers for this test only, which advertise a proxy as their `SaslSsl` listener.
    pub async fn secure_behind(proxy: &Proxy, nodes: u32) -> Self {
        let addresses = proxy.addresses();
        let start = move || Self::start_now(nodes, &["--secure", "--behind", &addresses]);
        let kafka = tokio::task::spawn_blocking(start).await.unwrap();
        proxy.serve(&kafka.listener(Listener::SaslSsl).await);
        kafka
    }

    /// One secure broker that accepts Kerberos tickets, and a KDC. Both end when this is dropped.
    pub async fn kerberos() -> Self {
        let start = move || Self::start_now(1, &["--secure", "--kerberos"]);
        tokio::task::spawn_blocking(start).await.unwrap()
    }

    /// Path of a file of Kerberos: `krb5.conf`, or the keytab `lagrange.keytab` or `other.keytab`
    /// of a user.
    pub fn kerberos_file(&self, file: &str) -> String {
        let path = self.state.join("kerberos").join(file);
        path.to_str().unwrap().to_owned()
    }

    /// Number of tickets that the KDC has given to a user for the keytab, not for an earlier
    /// ticket.
    pub fn tickets(&self, user: &str) -> usize {
        let log = self.secret("log", "tickets.log");
        let given = format!("{user}@LAGRANGE.TEST for krbtgt/");
        let lines = log.lines();
        lines
            .filter(|line| {
                line.contains("AS_REQ") && line.contains("ISSUE") && line.contains(&given)
            })
            .count()
    }

    /// A secure broker with listeners at `address`, which Pods of a real node can reach.
    pub async fn secure_for_pods(address: String) -> Self {
        let start = move || Self::start_now(1, &["--secure", "--pod-address", &address]);
        tokio::task::spawn_blocking(start).await.unwrap()
    }

    /// One secure broker of another version of Kafka. It ends when this is dropped.
    pub async fn secure_version(version: &'static str) -> Self {
        let start = move || Self::start_now(1, &["--secure", "--version", version]);
        tokio::task::spawn_blocking(start).await.unwrap()
    }

    /// The bootstrap servers of a listener.
    pub async fn listener(&self, listener: Listener) -> String {
        self.run("bootstrap", &[listener.name()]).await
    }

    /// A PEM: `ca.crt`, which signed the certificates of the brokers; `ca2.crt`, which signs them
    /// after `renew_ca`; `user.crt` and `user.key`; `expired.crt` and `expired.key`; `foreign.crt`
    /// and `foreign.key`, of an unknown CA; `unfitting.key`, which matches no certificate.
    pub fn tls(&self, file: &str) -> String {
        self.secret("tls", file)
    }

    /// The password of `lagrange` or `other`, for PLAIN and, until `set_password`, SCRAM.
    pub fn password(&self, user: &str) -> String {
        self.secret("users", user).trim().to_owned()
    }

    /// The key that signs JWTs: RSA, a PKCS#8 PEM.
    pub fn signing_key(&self) -> String {
        self.secret("oauth", "key.pem")
    }

    fn secret(&self, directory: &str, file: &str) -> String {
        let path = self.state.join(directory).join(file);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// A token of the kind that these brokers accept, valid for `seconds`; a negative number makes
    /// an expired one.
    pub async fn token(&self, user: &str, seconds: i64) -> String {
        self.run("token", &[user, &seconds.to_string()]).await
    }

    /// Allows `operation` on a `kind` (topic, group) by NAME, PREFIX* or *. It takes a moment to
    /// reach a broker.
    pub async fn allow(&self, principal: &str, kind: &str, name: &str, operation: &str) {
        self.run("acl", &["add", principal, kind, name, operation])
            .await;
    }

    /// Revokes a right that `allow` gave.
    pub async fn disallow(&self, principal: &str, kind: &str, name: &str, operation: &str) {
        self.run("acl", &["remove", principal, kind, name, operation])
            .await;
    }

    /// Sets a SCRAM password, for both mechanisms, or creates the user. Existing connections stay
    /// logged in.
    pub async fn set_password(&self, user: &str, password: &str) {
        self.run("password", &[user, password]).await;
    }

    /// Deletes a group that has no members, with its commits. Returns whether that was
    /// acknowledged; if not, the group may be deleted already, or later.
    pub async fn try_delete_group(&self, group: &str) -> bool {
        self.try_run("delete-group", &[group]).await.is_ok()
    }

    /// Changes the certificates of the brokers to ones signed by `ca2.crt`. All brokers must be up;
    /// connections stay.
    pub async fn renew_ca(&self) {
        self.run("renew-ca", &[]).await;
    }
}
