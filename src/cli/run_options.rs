//! The options of `lagrange run`, by flag or by environment. They are checked here once, so that no
//! other code has to check them again.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{ArgAction, Args};

use super::leader_options::LeaderOptions;
use super::run_values::{between, namespace};
use super::values::whole;
use crate::process::logging::{LogFilter, LogFormat};

/// Flags of `lagrange run`; a flag takes precedence over its environment variable.
#[derive(Args, Clone, Debug)]
pub(super) struct Options {
    /// Format of the log on standard error: lines for people (human), or one JSON object a line
    /// (json)
    #[arg(
        long,
        env = "LAGRANGE_LOG_FORMAT",
        value_enum,
        default_value = "human",
        value_name = "FORMAT",
        help_heading = PROCESS,
    )]
    pub(super) log_format: LogFormat,

    /// Log level (trace, debug, info, warn, error, off), or pairs such as info,lagrange=debug
    #[arg(
        long,
        env = "LAGRANGE_LOG_FILTER",
        default_value = "info",
        value_name = "FILTER",
        help_heading = PROCESS,
    )]
    pub(super) log_filter: LogFilter,

    /// Address of /healthz, /readyz and /metrics. With port 0 a free port is used and logged
    #[arg(
        long,
        env = "LAGRANGE_LISTEN_ADDRESS",
        default_value = "0.0.0.0:8080",
        value_name = "IP:PORT",
        value_parser = listen_address,
        help_heading = PROCESS,
    )]
    pub(super) listen_address: SocketAddr,

    /// Longest time that the process takes to end after SIGTERM, even when a call hangs; 1s to 60s.
    /// Keep it below the pod's terminationGracePeriodSeconds
    #[arg(
        long,
        env = "LAGRANGE_SHUTDOWN_GRACE",
        default_value = "5s",
        value_name = "DURATION",
        value_parser = between("1s", "60s"),
        help_heading = PROCESS,
    )]
    pub(super) shutdown_grace: Duration,

    /// MiB of memory that the process may use, 64 to 1048576. The number of partitions that are
    /// read follows from it. Default: what the container's control group allows, or what the
    /// machine has
    #[arg(
        long,
        env = "LAGRANGE_MEMORY_LIMIT",
        value_name = "MIB",
        value_parser = whole::<u64>(64..=1_048_576),
        help_heading = PROCESS,
    )]
    pub(super) memory_limit: Option<u64>,

    /// Kubeconfig file to use. Default: $KUBECONFIG, then ~/.kube/config, then the pod's service
    /// account
    #[arg(long, env = "LAGRANGE_KUBECONFIG", value_name = "FILE", help_heading = KUBERNETES)]
    pub(super) kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig. Default: the current one
    #[arg(long, env = "LAGRANGE_CONTEXT", value_name = "NAME", help_heading = KUBERNETES)]
    pub(super) context: Option<String>,

    /// Namespace whose resources are managed; repeat the flag or separate by commas. Default: all
    /// namespaces, which needs cluster-wide rights
    #[arg(
        long = "watch-namespace",
        env = "LAGRANGE_WATCH_NAMESPACES",
        value_delimiter = ',',
        value_name = "NAMESPACE",
        value_parser = namespace,
        help_heading = KUBERNETES,
    )]
    watch_namespace: Vec<Option<String>>,

    /// Timeout of one call to the Kubernetes API, retries included; 1s to 60s. At start it is also
    /// how long the API server may stay unreachable before the process gives up
    #[arg(
        long,
        env = "LAGRANGE_API_TIMEOUT",
        default_value = "10s",
        value_name = "DURATION",
        value_parser = between("1s", "60s"),
        help_heading = KUBERNETES,
    )]
    pub(super) api_timeout: Duration,

    #[command(flatten)]
    pub(super) leader: LeaderOptions,

    /// Number of ConsumerGroups that are reconciled at the same time; 1 to 256
    #[arg(
        long,
        env = "LAGRANGE_CONCURRENCY",
        default_value_t = 16,
        value_name = "COUNT",
        value_parser = whole::<u16>(1..=256),
        help_heading = KUBERNETES,
    )]
    pub(super) concurrency: u16,

    /// Timeout of one request to a Kafka broker, after which its answer counts as unknown; 500ms to
    /// 10s. A dead broker delays a poll of its cluster by this much
    #[arg(
        long,
        env = "LAGRANGE_KAFKA_TIMEOUT",
        default_value = "1500ms",
        value_name = "DURATION",
        value_parser = between("500ms", "10s"),
        help_heading = KAFKA,
    )]
    pub(super) kafka_timeout: Duration,

    /// Poll interval of a cluster that a ConsumerGroup names by bootstrapServers; 5s to 30s. A
    /// KafkaCluster has its own spec.pollInterval
    #[arg(
        long,
        env = "LAGRANGE_INLINE_POLL_INTERVAL",
        default_value = "15s",
        value_name = "DURATION",
        value_parser = between("5s", "30s"),
        help_heading = KAFKA,
    )]
    pub(super) inline_poll_interval: Duration,

    /// Whether a ConsumerGroup may name bootstrapServers itself; false allows only clusterRef
    #[arg(
        long,
        env = "LAGRANGE_INLINE_CONNECTIONS",
        default_value_t = true,
        value_name = "BOOL",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        help_heading = KAFKA,
    )]
    pub(super) inline_connections: bool,

    /// Whether Kafka may be at a loopback or link-local address. In a pod these are the operator's
    /// own sidecars and the cloud's metadata service, so enable it only for tests on one machine
    #[arg(
        long,
        env = "LAGRANGE_ALLOW_LOCAL_ADDRESSES",
        default_value_t = false,
        value_name = "BOOL",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        help_heading = KAFKA,
    )]
    pub(super) allow_local_addresses: bool,

    /// Number of different Kafka connections that the ConsumerGroups of one namespace may use
    /// together; 1 to 1000. A group beyond it reports TooManyConnections
    #[arg(
        long,
        env = "LAGRANGE_MAX_CONNECTIONS_PER_NAMESPACE",
        default_value_t = 20,
        value_name = "COUNT",
        value_parser = whole::<u16>(1..=1000),
        help_heading = KAFKA,
    )]
    pub(super) max_connections_per_namespace: u16,

    /// Number of brokers that a Kafka cluster may have, 1 to 10000. Each broker takes a thread (100
    /// KiB) and up to four descriptors. All clusters together may have as many threads as an eighth
    /// of the memory holds, or one and a half times this number if that is more. A cluster beyond
    /// it is not read and reports TooManyBrokers
    #[arg(
        long,
        env = "LAGRANGE_MAX_BROKERS_PER_CLUSTER",
        default_value_t = 300,
        value_name = "COUNT",
        value_parser = whole::<u16>(1..=10_000),
        help_heading = KAFKA,
    )]
    pub(super) max_brokers_per_cluster: u16,

    /// Namespace whose connections may log in as the operator itself, by the AWS role of its pod or
    /// by its keytab; repeat the flag or separate by commas, empty for none. Default: the
    /// operator's own namespace. All others need a Secret
    #[arg(
        long,
        env = "LAGRANGE_AMBIENT_IDENTITY_NAMESPACES",
        value_delimiter = ',',
        value_name = "NAMESPACE",
        value_parser = namespace,
        help_heading = KAFKA,
    )]
    ambient_identity_namespaces: Vec<Option<String>>,

    /// Record the observations and decisions of a ConsumerGroup, such as
    /// shop/orders=/recordings/orders.jsonl, for lagrange decide. Appends; only its owner may read
    /// the file
    #[arg(long, env = "LAGRANGE_RECORD", value_name = "NAMESPACE/NAME=FILE", value_parser = record, help_heading = RECORDING)]
    pub(super) record: Option<Record>,

    /// Most MiB that the recording takes, 2 to 65536. At half of it FILE becomes FILE.1 and
    /// replaces the previous one
    #[arg(
        long,
        env = "LAGRANGE_RECORD_LIMIT",
        default_value_t = 64,
        value_name = "MIB",
        value_parser = whole::<u64>(2..=65_536),
        help_heading = RECORDING,
    )]
    pub(super) record_limit: u64,
}

/// Which ConsumerGroup is recorded, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Namespace of the ConsumerGroup.
    pub(super) namespace: String,
    /// Name of the ConsumerGroup.
    pub(super) name: String,
    /// Path of the recording.
    pub(super) file: PathBuf,
}

const PROCESS: &str = "Process";
const KUBERNETES: &str = "Kubernetes";
const KAFKA: &str = "Kafka";
const RECORDING: &str = "Recording";

impl Options {
    /// The namespaces to watch, sorted and without duplicates; empty means all.
    pub(super) fn watch_namespaces(&self) -> Vec<&str> {
        let mut namespaces: Vec<_> = self
            .watch_namespace
            .iter()
            .flatten()
            .map(String::as_str)
            .collect();
        namespaces.sort_unstable();
        namespaces.dedup();
        namespaces
    }

    /// The namespaces whose connections may log in as the operator itself. `own` is the namespace
    /// of the operator, if it runs in a Pod.
    pub(super) fn ambient_identity_namespaces(&self, own: Option<String>) -> Vec<String> {
        if self.ambient_identity_namespaces.is_empty() {
            return own.into_iter().collect();
        }
        let named = self.ambient_identity_namespaces.iter().flatten();
        named.cloned().collect()
    }
}

fn listen_address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "write an IP address and a port, such as 0.0.0.0:8080 or [::]:8080".to_owned())
}

/// A group and a file.
fn record(text: &str) -> Result<Record, String> {
    let parts = text.split_once('=').and_then(|(group, file)| {
        let (space, name) = group.split_once('/')?;
        let space = namespace(space).ok()??;
        let is_named = !name.is_empty() && !name.contains('/');
        (is_named && !file.is_empty()).then(|| Record {
            namespace: space,
            name: name.to_owned(),
            file: file.into(),
        })
    });
    parts.ok_or_else(|| {
        "write a ConsumerGroup and a file, such as shop/orders=/recordings/orders.jsonl".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use rstest::rstest;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn parse(args: &[&str]) -> Result<Options, String> {
        let line = Line::try_parse_from(["run"].iter().chain(args));
        line.map(|line| line.options)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_the_documented_ones() {
        let options = parse(&[]).unwrap();
        assert_eq!(options.log_format, LogFormat::Human);
        assert_eq!(options.listen_address.to_string(), "0.0.0.0:8080");
        assert_eq!(options.shutdown_grace, Duration::from_secs(5));
        assert!(options.watch_namespaces().is_empty());
        assert_eq!(options.api_timeout, Duration::from_secs(10));
        assert_eq!(options.kafka_timeout, Duration::from_millis(1500));
        assert_eq!(options.inline_poll_interval, Duration::from_secs(15));
        assert!(options.inline_connections);
        assert!(!options.allow_local_addresses);
        assert_eq!(options.max_connections_per_namespace, 20);
        assert_eq!(options.max_brokers_per_cluster, 300);
        assert_eq!((options.record, options.record_limit), (None, 64));
        assert_eq!(options.memory_limit, None);
    }

    #[test]
    fn a_recording_is_of_one_group_in_one_file() {
        let options = parse(&["--record=shop/orders.eu=/recordings/a=b.jsonl"]).unwrap();
        let expected = Record {
            namespace: "shop".to_owned(),
            name: "orders.eu".to_owned(),
            file: "/recordings/a=b.jsonl".into(),
        };
        assert_eq!(options.record, Some(expected));
    }

    #[rstest]
    #[case(&["--watch-namespace=shop,kafka", "--watch-namespace=kafka"], &["kafka", "shop"])]
    #[case(&["--watch-namespace="], &[])]
    #[case(&["--watch-namespace= shop , "], &["shop"])]
    fn namespaces_are_a_set(#[case] args: &[&str], #[case] expected: &[&str]) {
        assert_eq!(parse(args).unwrap().watch_namespaces(), expected);
    }

    #[rstest]
    #[case::own(&[], Some("lagrange"), &["lagrange"])]
    #[case::outside_of_a_pod(&[], None, &[])]
    #[case::others(&["--ambient-identity-namespaces=kafka,shop"], Some("lagrange"), &["kafka", "shop"])]
    #[case::none(&["--ambient-identity-namespaces="], Some("lagrange"), &[])]
    fn the_operators_identity_is_for_its_own_or_the_named_namespaces(
        #[case] args: &[&str],
        #[case] own: Option<&str>,
        #[case] expected: &[&str],
    ) {
        let own = own.map(ToOwned::to_owned);
        let options = parse(args).unwrap();
        assert_eq!(options.ambient_identity_namespaces(own), expected);
    }

    #[rstest]
    #[case(&["--inline-connections=false", "--allow-local-addresses=true"], false, true)]
    #[case(&["--inline-connections", "--allow-local-addresses"], true, true)]
    fn a_switch_takes_true_or_false_and_alone_means_true(
        #[case] args: &[&str],
        #[case] inline: bool,
        #[case] local: bool,
    ) {
        let options = parse(args).unwrap();
        assert_eq!(
            (options.inline_connections, options.allow_local_addresses),
            (inline, local)
        );
    }

    #[rstest]
    #[case("--watch-namespace=Shop", "write the name of a namespace")]
    #[case("--watch-namespace=-shop", "write the name of a namespace")]
    #[case("--listen-address=8080", "write an IP address and a port")]
    #[case("--leader-elect-resource-name=Lagrange", "write the name of a Lease")]
    #[case("--leader-elect-resource-namespace=", "write the name of a namespace")]
    #[case("--leader-elect-lease-duration=11m", "write a duration from 1s to 10m")]
    #[case("--api-timeout=0s", "write a duration from 1s to 60s")]
    #[case("--api-timeout=61s", "write a duration from 1s to 60s")]
    #[case("--api-timeout=-5s", "write a duration from 1s to 60s")]
    #[case("--api-timeout=10", "write a duration from 1s to 60s")]
    #[case("--inline-poll-interval=31s", "write a duration from 5s to 30s")]
    #[case(
        "--kafka-timeout=99999999999999999999h",
        "write a duration from 500ms to 10s"
    )]
    #[case("--concurrency=0", "write a whole number from 1 to 256")]
    #[case("--max-brokers-per-cluster=0", "write a whole number from 1 to 10000")]
    #[case("--record=orders=/tmp/a", "write a ConsumerGroup and a file")]
    #[case("--record=/orders=/tmp/a", "write a ConsumerGroup and a file")]
    #[case("--record=shop/orders=", "write a ConsumerGroup and a file")]
    #[case("--record-limit=1", "write a whole number from 2 to 65536")]
    #[case("--memory-limit=63", "write a whole number from 64 to 1048576")]
    #[case("--memory-limit=256Mi", "write a whole number from 64 to 1048576")]
    #[case("--allow-local-addresses=yes", "possible values: true, false")]
    #[case("--log-filter=loud", "write a level")]
    fn a_bad_value_is_reported_with_what_to_write(#[case] arg: &str, #[case] advice: &str) {
        let error = parse(&[arg]).unwrap_err();
        assert!(error.contains(advice), "{error}");
    }
}
