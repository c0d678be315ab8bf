//! Bootstrap servers as users write them: checked and normalised. Connects to nothing.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

use crate::text;

/// The default port of Kafka clients.
const DEFAULT_PORT: u16 = 9092;

/// Bootstrap servers: at least one, without order or duplicates.
#[derive(Clone, PartialEq, Eq)]
pub struct Servers(BTreeSet<Server>);

/// One bootstrap server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Server {
    host: String,
    port: u16,
}

/// Why a connection cannot be used as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidConnection {
    /// There is no server at all.
    #[error("no bootstrap server: name at least one, as host:port")]
    NoServers,
    /// A server is not `host:port`.
    #[error(
        "bootstrap server {} is not host:port; write it like kafka-0.kafka:9092, an IPv6 address \
         in brackets",
        text::quoted(.server)
    )]
    Server {
        /// What was written.
        server: String,
    },
    /// A server is on the operator's own machine or link (SAFE-38).
    #[error(
        "bootstrap server {} is a loopback or link-local address, which the operator does not \
         connect to; use the cluster's own address, or run the operator with \
         --allow-local-addresses",
        text::quoted(.server)
    )]
    LocalAddress {
        /// What was written.
        server: String,
    },
}

impl Servers {
    /// Parses the servers that a user wrote.
    pub fn parse<I>(bootstrap_servers: I) -> Result<Self, InvalidConnection>
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
        Ok(Self(servers))
    }

    /// Number of servers, at least 1.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Refuses servers that are loopback or link-local by their literal address or by the name
    /// `localhost`.
    pub fn refuse_local_addresses(&self) -> Result<(), InvalidConnection> {
        match self.0.iter().find(|server| server.is_local()) {
            None => Ok(()),
            Some(server) => Err(InvalidConnection::LocalAddress {
                server: server.to_string(),
            }),
        }
    }
}

impl fmt::Display for Servers {
    /// The value of `bootstrap.servers`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, server) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma}{server}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
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

/// The metadata service of EC2 by IPv6, which is not link-local.
const EC2_METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Whether an address is that of this machine or its link: loopback, link-local (where the metadata
/// services of clouds are) or unspecified (which connects to loopback).
pub fn is_local_address(address: IpAddr) -> bool {
    fn v4(address: Ipv4Addr) -> bool {
        address.is_loopback() || address.is_link_local() || address.octets().starts_with(&[0])
    }
    match address {
        IpAddr::V4(address) => v4(address),
        IpAddr::V6(address) => {
            let translated = match address.segments() {
                // NAT64 (RFC 6052).
                [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                    Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
                }
                _ => address.to_ipv4_mapped(),
            };
            translated.is_some_and(v4)
                || address == EC2_METADATA
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
    fn a_server_is_split_into_host_and_port(#[case] written: &str, #[case] identity: &str) {
        let servers = Servers::parse([written]).unwrap();
        assert_eq!(servers.to_string(), identity);
    }

    #[test]
    fn a_mangled_address_gives_an_error_or_reads_back_the_same() {
        let seeds = [
            "kafka-0.kafka:9092",
            "[fd00::1]:9092",
            "10.0.0.1",
            "[::ffff:127.0.0.1]:1",
            "localhost.",
        ];
        lagrange_fuzz::fuzz(&seeds, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            match Servers::parse([&text]) {
                Ok(servers) => {
                    let written = servers.to_string();
                    assert_eq!(Servers::parse([&written]), Ok(servers), "{written}");
                }
                // The schema allows 255 characters.
                Err(error) if text.len() <= 255 => {
                    lagrange_fuzz::assert_is_one_line(&error.to_string());
                }
                Err(_) => {}
            }
        });
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
    fn any_other_text_is_refused_and_quoted(#[case] written: &str) {
        assert_eq!(
            Servers::parse([written]),
            Err(InvalidConnection::Server {
                server: written.to_owned()
            })
        );
    }

    #[test]
    fn an_empty_list_is_refused() {
        assert_eq!(
            Servers::parse(Vec::<String>::new()),
            Err(InvalidConnection::NoServers)
        );
    }

    /// SAFE-38.
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
    #[case("[64:ff9b::a9fe:a9fe]:80", true)]
    #[case("[fd00:ec2::254]:80", true)]
    #[case("[64:ff9b::a00:1]:9092", false)]
    #[case("10.0.0.1:9092", false)]
    #[case("[fd00::1]:9092", false)]
    #[case("localhost.example.com:9092", false)]
    #[case("kafka:9092", false)]
    fn loopback_and_link_local_are_refused(#[case] written: &str, #[case] refused: bool) {
        let servers = Servers::parse(["kafka-0:9092", written]).unwrap();
        assert_eq!(servers.refuse_local_addresses().is_err(), refused);
    }
}
