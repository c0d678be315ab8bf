//! What one connects to Kafka with: checked, normalised, and never shown whole in a log. Reads nothing, connects to nothing.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use thiserror::Error;

/// The port that Kafka's clients assume.
const DEFAULT_PORT: u16 = 9092;

/// How to reach a Kafka cluster. Two connections with equal [`Identity`] share one client.
#[derive(Clone, PartialEq, Eq)]
pub struct Connection {
    servers: BTreeSet<Server>,
}

/// One bootstrap server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Server {
    host: String,
    port: u16,
}

/// What makes two connections one: their servers in any order, case and repetition. Stable, and free of secrets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(Arc<str>);

impl Identity {
    /// The servers, sorted, separated by commas.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a connection cannot be used as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidConnection {
    /// There is no server at all.
    #[error("no bootstrap server: name at least one, as host:port")]
    NoServers,
    /// A server is not `host:port`.
    #[error(
        "bootstrap server {server:?} is not host:port; write it like kafka-0.kafka:9092, an IPv6 address in brackets"
    )]
    Server {
        /// What was written.
        server: String,
    },
    /// A server is on the operator's own machine or link (decision 38).
    #[error(
        "bootstrap server {server:?} is a loopback or link-local address, which the operator does not connect to; \
         name the cluster's own address, or run the operator with --allow-local-addresses"
    )]
    LocalAddress {
        /// What was written.
        server: String,
    },
}

impl Connection {
    /// A plaintext connection.
    ///
    /// ```
    /// use lagrange::kafka::connection::Connection;
    /// let one = Connection::plaintext(["Kafka-1:9092", "kafka-0"])?;
    /// let other = Connection::plaintext(["kafka-0:9092", "kafka-1:9092", "kafka-1:9092"])?;
    /// assert_eq!(one.identity(), other.identity());
    /// # Ok::<(), lagrange::kafka::connection::InvalidConnection>(())
    /// ```
    pub fn plaintext<I>(bootstrap_servers: I) -> Result<Self, InvalidConnection>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let servers = bootstrap_servers
            .into_iter()
            .map(|server| Server::parse(server.as_ref()))
            .collect::<Result<BTreeSet<_>, _>>()?;
        if servers.is_empty() {
            return Err(InvalidConnection::NoServers);
        }
        Ok(Self { servers })
    }

    /// The name under which a client for this connection is shared.
    pub fn identity(&self) -> Identity {
        Identity(self.bootstrap_servers().into())
    }

    /// Refuses servers that are loopback or link-local by their literal address or by the name `localhost`.
    ///
    /// Names that resolve to such addresses, and brokers that advertise them, are refused when the socket connects
    /// (`kafka::native`).
    pub fn refuse_local_addresses(&self) -> Result<(), InvalidConnection> {
        match self.servers.iter().find(|server| server.is_local()) {
            None => Ok(()),
            Some(server) => Err(InvalidConnection::LocalAddress {
                server: server.to_string(),
            }),
        }
    }

    /// The value of `bootstrap.servers`.
    fn bootstrap_servers(&self) -> String {
        let servers: Vec<_> = self.servers.iter().map(ToString::to_string).collect();
        servers.join(",")
    }

    /// What librdkafka is told about this connection: properties and their values.
    pub(super) fn properties(&self) -> Vec<(&'static str, String)> {
        vec![
            ("bootstrap.servers", self.bootstrap_servers()),
            ("security.protocol", "plaintext".to_owned()),
        ]
    }
}

impl fmt::Debug for Connection {
    /// Servers only. What later joins them (credentials) stays out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.bootstrap_servers())
    }
}

impl Server {
    fn parse(text: &str) -> Result<Self, InvalidConnection> {
        let invalid = || InvalidConnection::Server {
            server: text.to_owned(),
        };
        let trimmed = text.trim();
        let (host, port) = match trimmed.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(invalid)?;
                host.parse::<Ipv6Addr>().map_err(|_| invalid())?;
                (
                    host,
                    port.strip_prefix(':').or(port.is_empty().then_some("")),
                )
            }
            None => match trimmed.split_once(':') {
                Some((host, port)) => (host, Some(port).filter(|port| !port.is_empty())),
                None => (trimmed, Some("")),
            },
        };
        let port = match port.ok_or_else(invalid)? {
            "" => DEFAULT_PORT,
            port => port
                .parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(invalid)?,
        };
        let named = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        if host.is_empty() || !host.chars().all(named) {
            return Err(invalid());
        }
        Ok(Self {
            host: host.to_ascii_lowercase(),
            port,
        })
    }

    fn is_local(&self) -> bool {
        let name = self.host.trim_end_matches('.');
        if name == "localhost" || name.ends_with(".localhost") {
            return true;
        }
        name.parse().is_ok_and(is_local_address)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Whether an address is this machine's or its link's: loopback, link-local (cloud metadata services live there) or
/// unspecified (which connects to loopback).
pub(super) fn is_local_address(address: IpAddr) -> bool {
    fn v4(address: Ipv4Addr) -> bool {
        address.is_loopback() || address.is_link_local() || address.octets().starts_with(&[0])
    }
    match address {
        IpAddr::V4(address) => v4(address),
        IpAddr::V6(address) => {
            address.to_ipv4_mapped().is_some_and(v4)
                || address.is_loopback()
                || address.is_unspecified()
                || address.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("kafka", "kafka:9092")]
    #[case("Kafka.Shop.SVC:9093", "kafka.shop.svc:9093")]
    #[case(" kafka:1 ", "kafka:1")]
    #[case("10.0.0.1:9092", "10.0.0.1:9092")]
    #[case("[fd00::1]:9092", "[fd00::1]:9092")]
    #[case("[fd00::1]", "[fd00::1]:9092")]
    fn a_server_is_host_and_port(#[case] written: &str, #[case] identity: &str) {
        let connection = Connection::plaintext([written]).unwrap();
        assert_eq!(connection.identity().as_str(), identity);
    }

    #[rstest]
    #[case("")]
    #[case("kafka:")]
    #[case("kafka:0")]
    #[case("kafka:65536")]
    #[case("kafka:http")]
    #[case("SASL_SSL://kafka:9092")]
    #[case("kafka:9092,other:9092")]
    #[case("kafka 1:9092")]
    #[case("fd00::1")]
    #[case("[fd00::1]9092")]
    #[case("[kafka]:9092")]
    #[case("kafka\0:9092")]
    fn anything_else_is_refused_and_quoted(#[case] written: &str) {
        assert_eq!(
            Connection::plaintext([written]),
            Err(InvalidConnection::Server {
                server: written.to_owned()
            })
        );
    }

    #[test]
    fn no_server_is_refused() {
        assert_eq!(
            Connection::plaintext(Vec::<String>::new()),
            Err(InvalidConnection::NoServers)
        );
    }

    #[rstest]
    #[case("localhost:9092", true)]
    #[case("LOCALHOST.:9092", true)]
    #[case("a.localhost:9092", true)]
    #[case("127.1.2.3:9092", true)]
    #[case("0.0.0.0:9092", true)]
    #[case("169.254.169.254:80", true)]
    #[case("[::1]:9092", true)]
    #[case("[::]:9092", true)]
    #[case("[fe80::1]:9092", true)]
    #[case("[::ffff:127.0.0.1]:9092", true)]
    #[case("10.0.0.1:9092", false)]
    #[case("[fd00::1]:9092", false)]
    #[case("localhost.example.com:9092", false)]
    #[case("kafka:9092", false)]
    fn loopback_and_link_local_are_refused(#[case] written: &str, #[case] refused: bool) {
        let connection = Connection::plaintext(["kafka-0:9092", written]).unwrap();
        assert_eq!(connection.refuse_local_addresses().is_err(), refused);
    }
}
