//! The options of leader election, which `lagrange run` has among its own.

use std::time::Duration;

use clap::{ArgAction, Args};

use super::run_values::{between, namespace};
use crate::controller::leader::Timing;

const LEADER: &str = "Leader election";

/// Flags of leader election, with the names that Kubernetes' own components use.
#[derive(Args, Clone, Debug)]
pub(super) struct LeaderOptions {
    /// Whether to wait for a Lease before reading Kafka and scaling, so that one of several
    /// replicas works. Default: true in a pod, else false
    #[arg(
        long = "leader-elect",
        env = "LAGRANGE_LEADER_ELECT",
        value_name = "BOOL",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        help_heading = LEADER,
    )]
    is_on: Option<bool>,

    /// Namespace of the Lease. Default: the operator's own
    #[arg(
        long = "leader-elect-resource-namespace",
        env = "LAGRANGE_LEADER_ELECT_RESOURCE_NAMESPACE",
        value_name = "NAMESPACE",
        value_parser = lease_namespace,
        help_heading = LEADER,
    )]
    namespace: Option<String>,

    /// Name of the Lease. Installations that manage different namespaces need different ones
    #[arg(
        long = "leader-elect-resource-name",
        env = "LAGRANGE_LEADER_ELECT_RESOURCE_NAME",
        default_value = "lagrange",
        value_name = "NAME",
        value_parser = lease_name,
        help_heading = LEADER,
    )]
    name: String,

    /// Time after the last renewal of the Lease at which another replica takes it; 1s to 10m
    #[arg(
        long = "leader-elect-lease-duration",
        env = "LAGRANGE_LEADER_ELECT_LEASE_DURATION",
        default_value = "15s",
        value_name = "DURATION",
        value_parser = between("1s", "10m"),
        help_heading = LEADER,
    )]
    lease_duration: Duration,

    /// Time after its last renewal at which the leader gives up and ends; 500ms to 9m, and less
    /// than the lease duration
    #[arg(
        long = "leader-elect-renew-deadline",
        env = "LAGRANGE_LEADER_ELECT_RENEW_DEADLINE",
        default_value = "10s",
        value_name = "DURATION",
        value_parser = between("500ms", "9m"),
        help_heading = LEADER,
    )]
    renew_deadline: Duration,

    /// Time between two tries to take or to renew the Lease; 100ms to 1m, and at most half of the
    /// renew deadline
    #[arg(
        long = "leader-elect-retry-period",
        env = "LAGRANGE_LEADER_ELECT_RETRY_PERIOD",
        default_value = "2s",
        value_name = "DURATION",
        value_parser = between("100ms", "1m"),
        help_heading = LEADER,
    )]
    retry_period: Duration,
}

/// The Lease of the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeaseOptions {
    /// Its namespace.
    pub(super) namespace: String,
    /// Its name.
    pub(super) name: String,
    /// Its durations.
    pub(super) timing: Timing,
}

impl LeaderOptions {
    /// The Lease to wait for, if there is one. `own` is the namespace of the operator, if it runs
    /// in a Pod.
    pub(super) fn lease(&self, own: Option<String>) -> Result<Option<LeaseOptions>, String> {
        if !self.is_on.unwrap_or(own.is_some()) {
            return Ok(None);
        }
        let timing = Timing {
            lease_duration: self.lease_duration,
            renew_deadline: self.renew_deadline,
            retry_period: self.retry_period,
        };
        let Timing {
            lease_duration: lease,
            renew_deadline: deadline,
            retry_period: retry,
        } = timing;
        let seconds = Duration::as_secs_f64;
        if deadline >= lease {
            return Err(format!(
                "--leader-elect-renew-deadline ({} s) must be less than --leader-elect-lease-duration ({} s): the leader gives up before another replica takes over",
                seconds(&deadline),
                seconds(&lease)
            ));
        }
        if retry * 2 > deadline {
            return Err(format!(
                "--leader-elect-retry-period ({} s) must be at most half of --leader-elect-renew-deadline ({} s): a renewal that fails is tried again",
                seconds(&retry),
                seconds(&deadline)
            ));
        }
        let named = self.namespace.clone();
        let namespace = named.or(own).ok_or(
            "--leader-elect outside of a pod needs --leader-elect-resource-namespace, where the Lease is",
        )?;
        Ok(Some(LeaseOptions {
            namespace,
            name: self.name.clone(),
            timing,
        }))
    }
}

/// A DNS label.
fn lease_namespace(text: &str) -> Result<String, String> {
    namespace(text)?.ok_or_else(|| "write the name of a namespace".to_owned())
}

/// A DNS subdomain.
fn lease_name(text: &str) -> Result<String, String> {
    let parts = || text.split('.');
    if text.len() <= 253 && parts().all(|part| matches!(namespace(part), Ok(Some(_)))) {
        Ok(text.to_owned())
    } else {
        Err(
            "write the name of a Lease: lower-case letters, digits, inner '-' and '.', at most 253"
                .to_owned(),
        )
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use rstest::rstest;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: LeaderOptions,
    }

    fn parse(args: &[&str]) -> Result<LeaderOptions, String> {
        let line = Line::try_parse_from(["run"].iter().chain(args));
        line.map(|line| line.options)
            .map_err(|error| error.to_string())
    }

    #[rstest]
    #[case::outside_of_a_pod(&[], None, None)]
    #[case::in_a_pod(&[], Some("lagrange"), Some("lagrange/lagrange 15s 10s 2s"))]
    #[case::switched_off(&["--leader-elect=false"], Some("lagrange"), None)]
    #[case::elsewhere(
        &["--leader-elect", "--leader-elect-resource-namespace=ops", "--leader-elect-resource-name=a.b"],
        None,
        Some("ops/a.b 15s 10s 2s")
    )]
    #[case::short(
        &["--leader-elect-lease-duration=3s", "--leader-elect-renew-deadline=2s", "--leader-elect-retry-period=500ms"],
        Some("lagrange"),
        Some("lagrange/lagrange 3s 2s 500ms")
    )]
    fn the_lease_is_in_the_operators_namespace_unless_another_is_named(
        #[case] args: &[&str],
        #[case] own: Option<&str>,
        #[case] expected: Option<&str>,
    ) {
        let options = parse(args).unwrap();
        let lease = options.lease(own.map(ToOwned::to_owned)).unwrap();
        let lease = lease.map(|lease| {
            let Timing {
                lease_duration,
                renew_deadline,
                retry_period,
            } = lease.timing;
            let place = format!("{}/{}", lease.namespace, lease.name);
            format!("{place} {lease_duration:?} {renew_deadline:?} {retry_period:?}")
        });
        assert_eq!(lease.as_deref(), expected);
    }

    #[rstest]
    #[case::no_namespace(&["--leader-elect"], "needs --leader-elect-resource-namespace")]
    #[case::gives_up_too_late(
        &["--leader-elect-resource-namespace=ops", "--leader-elect", "--leader-elect-renew-deadline=15s"],
        "(15 s) must be less than --leader-elect-lease-duration (15 s)"
    )]
    #[case::tries_once(
        &["--leader-elect-resource-namespace=ops", "--leader-elect", "--leader-elect-retry-period=5001ms"],
        "(5.001 s) must be at most half of --leader-elect-renew-deadline (10 s)"
    )]
    fn a_lease_that_cannot_work_is_refused(#[case] args: &[&str], #[case] expected: &str) {
        let error = parse(args).unwrap().lease(None).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}
