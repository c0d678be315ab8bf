//! Logins that brokers refuse: when this is reported, and how often it is tried again.

use std::time::{Duration, Instant};

use lagrange::kafka::connection::Connection;
use lagrange::kafka::connection::secret::Secret;
use lagrange::kafka::connection::security::{PasswordMechanism, Sasl, Security};
use lagrange::kafka::model::error::ReadError;
use lagrange_core::intent::servers::Servers;
use lagrange_fakes::broker::Brokers;
use lagrange_testing::poll_helper::{PollHelper, named, settings};
use rstest::rstest;

/// Logs in to these brokers, without TLS.
pub(crate) fn poll_helper(brokers: &Brokers, servers: &[i32]) -> PollHelper {
    let addresses = &brokers.world().addresses;
    let servers = servers.iter().map(|id| addresses[id].to_string());
    let security = Security {
        tls: None,
        sasl: Some(Sasl::Password {
            mechanism: PasswordMechanism::Plain,
            username: Secret::new("lagrange"),
            password: Secret::new("password"),
        }),
    };
    let servers = Servers::parse(servers).unwrap();
    let connection = Connection::new(servers, security, "test", 1);
    PollHelper::over(settings(), &connection, "g0", named(&["t"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_broker_that_refuses_while_it_starts_is_not_a_refused_login() {
    // The server that is asked first is random.
    for _ in 0..12 {
        let brokers = super::brokers(2).await;
        brokers.world().refusing.insert(1);
        let mut helper = poll_helper(&brokers, &[1, 2]);
        let first = helper.poll().await;
        assert_eq!(first.error, None);
    }
}

#[rstest]
#[case::the_only_server(&[1])]
#[case::two(&[1, 2])]
#[case::three(&[1, 2, 3])]
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_by_all_is_reported_in_the_first_poll_after_few_attempts(
    #[case] servers: &[i32],
) {
    let brokers = super::brokers(3).await;
    brokers.world().refusing.extend([1, 2, 3]);
    let began = Instant::now();
    let mut helper = poll_helper(&brokers, servers);
    let first = helper.poll().await;
    let took = began.elapsed();
    assert!(
        matches!(first.error, Some(ReadError::Authentication { .. })),
        "{:?}",
        first.error
    );
    assert!(took < Duration::from_secs(4), "{took:?}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let logins = brokers.world().logins.clone();
    println!("{servers:?}: {took:?} {logins:?}");
    assert!(logins.values().sum::<usize>() <= 4, "{logins:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_by_the_only_reachable_server_is_reported_in_the_first_poll() {
    let brokers = super::brokers(2).await;
    brokers.world().refusing.insert(1);
    // Nothing listens there any longer.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    brokers.world().addresses.insert(9, address);
    let began = Instant::now();
    let mut helper = poll_helper(&brokers, &[1, 9]);
    let first = helper.poll().await;
    let took = began.elapsed();
    assert!(
        matches!(first.error, Some(ReadError::Authentication { .. })),
        "{:?}",
        first.error
    );
    assert!(took < Duration::from_secs(4), "{took:?}");
    let logins = brokers.world().logins.clone();
    println!("{took:?} {logins:?}");
    assert!(logins[&1] <= 6, "{logins:?}");
}
