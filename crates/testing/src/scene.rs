//! A topic and a group that the user `lagrange` may describe, and connections of that user.

use lagrange::kafka::connection::Connection;
use lagrange::kafka::connection::secret::Secret;
use lagrange::kafka::connection::security::{
    ClientCertificate, PasswordMechanism, Sasl, Security, Tls,
};
use lagrange::kafka::model::snapshot::Snapshot;
use lagrange::kafka::token::oidc::OidcConfig;
use lagrange_core::intent::servers::Servers;

use crate::kafka::Kafka;
use crate::poll_helper::{PollHelper, lag, named, settings};
use crate::secure::Listener;
use crate::unique;
use lagrange_fakes::token_server::{Server, answer};

/// The principal of `lagrange` at the brokers, with any kind of login.
pub const USER: &str = "User:lagrange";

/// A topic of three partitions, and a group of the same name that is 30 records behind.
pub struct Scene<'a> {
    /// Secure brokers.
    pub kafka: &'a Kafka,
    /// Name of the topic and of the group.
    pub name: String,
}

impl<'a> Scene<'a> {
    /// A scene without any permission.
    pub async fn closed(kafka: &'a Kafka) -> Self {
        let name = unique("secure");
        kafka.create_topic(&name, 3).await;
        kafka.commit_at_ends(&name, &name).await;
        kafka.produce(&name, 30).await;
        Self { kafka, name }
    }

    /// A scene in which `lagrange` may describe topic and group.
    pub async fn open(kafka: &'a Kafka) -> Self {
        let scene = Self::closed(kafka).await;
        for kind in ["topic", "group"] {
            kafka.allow(USER, kind, &scene.name, "Describe").await;
        }
        scene
    }

    /// Watches the group over a connection.
    pub fn poll_helper(&self, connection: &Connection) -> PollHelper {
        PollHelper::over(settings(), connection, &self.name, named(&[&self.name]))
    }

    /// Polls until the lag is right.
    pub async fn until_read(&self, helper: &mut PollHelper) {
        helper
            .until("30 records behind", |snapshot| {
                lag(snapshot, &self.name, &self.name) == Some(30)
            })
            .await;
    }

    /// A connection to a listener, with revision 1.
    pub async fn connection(&self, listener: Listener, security: Security) -> Connection {
        connection(&self.kafka.listener(listener).await, security, 1)
    }
}

/// A connection to these servers; a higher revision means changed credentials.
pub fn connection(bootstrap: &str, security: Security, revision: u64) -> Connection {
    let servers = Servers::parse(bootstrap.split(',')).unwrap();
    Connection::new(servers, security, "test", revision)
}

/// TLS that trusts these CA certificates, without a client certificate.
pub fn trusting(authorities: &str) -> Option<Tls> {
    Some(Tls {
        authorities: Secret::new(authorities),
        certificate: None,
    })
}

/// TLS that trusts these CA certificates, with a client certificate.
pub fn showing(authorities: &str, chain: &str, key: &str) -> Security {
    Security {
        tls: Some(Tls {
            authorities: Secret::new(authorities),
            certificate: Some(ClientCertificate {
                chain: Secret::new(chain),
                key: Secret::new(key),
            }),
        }),
        sasl: None,
    }
}

/// A login of the user `lagrange` with this password.
pub fn login(mechanism: PasswordMechanism, password: &str) -> Option<Sasl> {
    login_as("lagrange", mechanism, password)
}

/// A login of any user.
pub fn login_as(user: &str, mechanism: PasswordMechanism, password: &str) -> Option<Sasl> {
    Some(Sasl::Password {
        mechanism,
        username: Secret::new(user),
        password: Secret::new(password),
    })
}

/// A token endpoint over TLS that issues tokens for these brokers, each valid for `seconds`.
pub async fn token_endpoint(kafka: &Kafka, seconds: i64) -> Server {
    let token = kafka.token("lagrange", seconds).await;
    let body = format!(
        r#"{{ "access_token": "{token}", "token_type": "Bearer", "expires_in": {} }}"#,
        seconds.max(60)
    );
    Server::start(move |_| answer(200, &body)).await
}

/// A login with tokens of this endpoint.
pub fn by_token(server: &Server) -> Option<Sasl> {
    Some(Sasl::Oidc(OidcConfig {
        token_endpoint: server.url().to_owned(),
        client_id: "lagrange".to_owned(),
        client_secret: Secret::new("client-marker"),
        scope: None,
        extensions: Vec::new(),
        trusted_certificates: Some(server.authority().pem().into_bytes()),
        allow_insecure: false,
        allow_local_addresses: true,
    }))
}

/// Category and text of the error of a connection that fails; `None` is the plaintext listener. The
/// secrets of such a test contain `marker`; this asserts that the text does not.
pub async fn refused(kafka: &Kafka, listener: Option<Listener>, security: Security) -> String {
    let scene = Scene::open(kafka).await;
    let bootstrap = match listener {
        Some(listener) => kafka.listener(listener).await,
        None => kafka.bootstrap.clone(),
    };
    let mut helper = scene.poll_helper(&connection(&bootstrap, security, 1));
    let failed = |snapshot: &Snapshot| snapshot.error.is_some();
    let snapshot = helper.until("an error", failed).await;
    let error = snapshot.error.clone().unwrap();
    let text = format!("{}: {error}", error.category());
    assert!(!text.contains("marker"), "{text}");
    text
}

/// Fails unless all these words are in the text.
#[track_caller]
pub fn assert_says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}
