//! Brokers with TLS, SASL and an authorizer, and what tests do to them. `Kafka::bootstrap` is their
//! plaintext listener, where a test may do anything; at the others there are rights for nobody
//! until `allow` gives them. The user is `User:lagrange`, whichever way it comes in.

use std::sync::OnceLock;

use crate::kafka::Kafka;
use crate::proxy::Proxy;

/// A listener that wants to know who comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// A login, and no TLS.
    SaslPlaintext,
    /// TLS with a certificate of the broker only, and a login.
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

/// What OAUTHBEARER takes for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tokens {
    /// Signed by `signing_key`: RS256, kid `test`, `iss` [`ISSUER`], `aud` [`AUDIENCE`].
    Jwt,
    /// The same, and nobody may do anything any more on a connection whose first token has ended.
    Ending,
    /// Presigned URLs, as Amazon MSK has them.
    Msk,
}

/// `iss` of a token that the brokers take.
pub const ISSUER: &str = "https://issuer.test";
/// `aud` of a token that the brokers take.
pub const AUDIENCE: &str = "kafka";

impl Kafka {
    /// One secure broker, shared by the whole test program. Its ACLs are too: name topics and
    /// groups of your own.
    pub async fn shared_secure() -> &'static Self {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        let start = || SHARED.get_or_init(|| Self::start_now(1, &["--secure"]));
        tokio::task::spawn_blocking(start).await.unwrap()
    }

    /// Secure brokers of the test's own, with more broker properties (`KEY=VALUE`); ended when this
    /// is dropped.
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

    /// Secure brokers of the test's own, which send who comes to `SaslSsl` on to a proxy.
    pub async fn secure_behind(proxy: &Proxy, nodes: u32) -> Self {
        let addresses = proxy.addresses();
        let start = move || Self::start_now(nodes, &["--secure", "--behind", &addresses]);
        let kafka = tokio::task::spawn_blocking(start).await.unwrap();
        proxy.serve(&kafka.listener(Listener::SaslSsl).await);
        kafka
    }

    /// One secure broker that takes Kerberos tickets, and a KDC; ended when this is dropped.
    pub async fn kerberos() -> Self {
        let start = move || Self::start_now(1, &["--secure", "--kerberos"]);
        tokio::task::spawn_blocking(start).await.unwrap()
    }

    /// A file of Kerberos: `krb5.conf`; `lagrange.keytab` or `other.keytab`, of a user.
    pub fn kerberos_file(&self, file: &str) -> String {
        let path = self.state.join("kerberos").join(file);
        path.to_str().unwrap().to_owned()
    }

    /// How many tickets the KDC has given to a user for the keytab, rather than for an earlier
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

    /// A secure broker whose listeners are where Pods of a real node reach them, at `address`.
    pub async fn secure_for_pods(address: String) -> Self {
        let start = move || Self::start_now(1, &["--secure", "--pod-address", &address]);
        tokio::task::spawn_blocking(start).await.unwrap()
    }

    /// One secure broker of another version of Kafka; ended when this is dropped.
    pub async fn secure_version(version: &'static str) -> Self {
        let start = move || Self::start_now(1, &["--secure", "--version", version]);
        tokio::task::spawn_blocking(start).await.unwrap()
    }

    /// The bootstrap servers of a listener.
    pub async fn listener(&self, listener: Listener) -> String {
        self.run("bootstrap", &[listener.name()]).await
    }

    /// A PEM: `ca.crt`, which signed what the brokers serve; `ca2.crt`, which will after
    /// `renew_ca`; `user.crt` and `user.key`; `expired.crt` and `expired.key`; `foreign.crt` and
    /// `foreign.key`, of a CA that nobody knows; `unfitting.key`.
    pub fn tls(&self, file: &str) -> String {
        self.secret("tls", file)
    }

    /// The password of `lagrange` or `other`, for PLAIN and, until `set_password`, SCRAM.
    pub fn password(&self, user: &str) -> String {
        self.secret("users", user).trim().to_owned()
    }

    /// What JWTs are signed with: RSA, a PKCS#8 PEM.
    pub fn signing_key(&self) -> String {
        self.secret("oauth", "key.pem")
    }

    fn secret(&self, directory: &str, file: &str) -> String {
        let path = self.state.join(directory).join(file);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// A token of the kind that these brokers take, good for so many seconds; below zero, it has
    /// run out.
    pub async fn token(&self, user: &str, seconds: i64) -> String {
        self.run("token", &[user, &seconds.to_string()]).await
    }

    /// Allows `operation` on a `kind` (topic, group) by NAME, PREFIX* or *. A broker may need a
    /// moment to hear of it.
    pub async fn allow(&self, principal: &str, kind: &str, name: &str, operation: &str) {
        self.run("acl", &["add", principal, kind, name, operation])
            .await;
    }

    /// Takes back what `allow` has given.
    pub async fn disallow(&self, principal: &str, kind: &str, name: &str, operation: &str) {
        self.run("acl", &["remove", principal, kind, name, operation])
            .await;
    }

    /// Changes a SCRAM password, by both mechanisms, or makes the user. Who is logged in stays so.
    pub async fn set_password(&self, user: &str, password: &str) {
        self.run("password", &[user, password]).await;
    }

    /// Deletes a group that has no members, and all that it has committed. Whether that was
    /// acknowledged; if not, it may have been done, or be done later.
    pub async fn try_delete_group(&self, group: &str) -> bool {
        self.try_run("delete-group", &[group]).await.is_ok()
    }

    /// Has the brokers serve a certificate of `ca2.crt` from now on. All of them must be up;
    /// connections stay.
    pub async fn renew_ca(&self) {
        self.run("renew-ca", &[]).await;
    }
}
