//! Checks each decision of Lagrange against its promises, using only what Lagrange was shown.

use std::collections::BTreeMap;

use lagrange_core::simulate::plant::GroupView;
use lagrange_core::simulate::{Answer, Autoscaler};

/// Minimum seconds between an action and the next scale-up, and the next scale-down.
const SPACING: (f64, f64) = (30.0, 120.0);
/// A group may be scaled after it has been unstable for this number of seconds.
const UNSTABLE: f64 = 300.0;
/// Seconds after an outage in which no scale-down is allowed.
const AFTER_OUTAGE: f64 = 120.0;

/// Lagrange with a check of each decision.
pub struct Judged {
    inner: Box<dyn Autoscaler>,
    /// Outages of Kafka, on the clock of the load.
    outages: Vec<(f64, f64)>,
    acted_at: Option<f64>,
    unstable_since: Option<f64>,
    /// The highest number of partitions of each topic so far.
    partitions: BTreeMap<String, usize>,
    /// Whether the assignor seen last hands out topic by topic. A group in a rebalance shows none.
    by_topic: bool,
    /// The largest size that was asked for.
    largest: i32,
    broken: Vec<String>,
}

impl Judged {
    /// Checks `inner`, for which Kafka cannot be read during `outages`.
    pub fn new(inner: Box<dyn Autoscaler>, outages: Vec<(f64, f64)>) -> Self {
        Self {
            inner,
            outages,
            acted_at: None,
            unstable_since: None,
            partitions: BTreeMap::new(),
            by_topic: false,
            largest: 0,
            broken: Vec::new(),
        }
    }

    /// The largest size that was asked for.
    pub fn largest(&self) -> i32 {
        self.largest
    }

    /// The broken promises, each with its time and circumstances.
    pub fn broken(self) -> Vec<String> {
        self.broken
    }

    fn poll(&mut self, view: &GroupView) {
        let line = &view.line;
        let is_stable = line
            .group
            .as_ref()
            .is_some_and(|group| group.state == "Stable");
        self.unstable_since = match (is_stable, self.unstable_since) {
            (true, _) => None,
            (false, since) => since.or(Some(line.t)),
        };
        let group = line.group.as_ref();
        if let Some(protocol) = group.and_then(|group| group.protocol.as_deref()) {
            self.by_topic = protocol == "range";
        }
        for (topic, view) in &line.topics {
            let numbers = view.partitions.iter().flatten();
            let most = numbers.filter_map(|p| usize::try_from(p.p).ok()).max();
            let before = self.partitions.entry(topic.clone()).or_default();
            *before = most.map_or(*before, |number| (number + 1).max(*before));
        }
    }

    /// The faults of going from `from` to `to` replicas on this poll.
    fn faults(&self, view: &GroupView, from: i32, to: i32) -> Vec<String> {
        let line = &view.line;
        let mut faults = Vec::new();
        let mut need = |holds: bool, fault: &str| {
            if !holds {
                faults.push(fault.to_owned());
            }
        };
        let spacing = if to > from { SPACING.0 } else { SPACING.1 };
        let since = self.acted_at.map_or(f64::INFINITY, |at| line.t - at);
        need(
            since >= spacing,
            &format!("only {since} s after the last action"),
        );
        let is_settled = self.unstable_since.is_none_or(|at| line.t - at >= UNSTABLE);
        need(is_settled, "while the group is not stable");
        need(line.kafka_ok, "without a poll of Kafka");
        let is_whole = line.topics.iter().all(|(topic, view)| {
            let count = view.partitions.iter().flatten().count();
            self.partitions.get(topic) == Some(&count)
        });
        need(to > from || is_whole, "down, with a partition missing");
        let counts: Vec<usize> = self.partitions.values().copied().collect();
        let sizes = aligned_sizes(&counts, self.by_topic);
        need(
            usize::try_from(to).is_ok_and(|to| sizes.contains(&to)),
            &format!("not an aligned size: {sizes:?}"),
        );
        let mut outages = self.outages.iter();
        let is_after = outages.any(|(from, to)| (*from..to + AFTER_OUTAGE).contains(&line.t));
        need(
            to > from || !is_after,
            "down in an outage or right after it",
        );
        faults
    }
}

impl Autoscaler for Judged {
    fn interval(&self) -> i64 {
        self.inner.interval()
    }

    fn decide(&mut self, view: GroupView) -> Answer {
        self.poll(&view);
        let answer = self.inner.decide(view.clone());
        let from = view.line.workload.spec_replicas;
        if let Some(to) = answer.replicas.filter(|to| *to != from) {
            let faults = self.faults(&view, from, to).into_iter();
            let t = view.line.t;
            self.broken
                .extend(faults.map(|fault| format!("at {t} s, {from} -> {to}: {fault}")));
            self.acted_at = Some(t);
            self.largest = self.largest.max(to);
        }
        answer
    }

    fn restart(&mut self) {
        self.inner.restart();
    }
}

/// The aligned sizes, computed apart from the decision that is checked.
fn aligned_sizes(counts: &[usize], by_topic: bool) -> Vec<usize> {
    let groups = if by_topic {
        counts.to_vec()
    } else {
        vec![counts.iter().sum()]
    };
    let max_load = |n: usize| -> Vec<usize> { groups.iter().map(|c| c.div_ceil(n)).collect() };
    let most = groups.iter().copied().max().unwrap_or(0);
    let is_aligned = |n: &usize| *n == 1 || max_load(*n) != max_load(*n - 1);
    (1..=most).filter(is_aligned).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::a_prime(&[17], true, &[1, 2, 3, 4, 5, 6, 9, 17])]
    #[case::two_topics_of_range(&[12, 6], true, &[1, 2, 3, 4, 6, 12])]
    #[case::two_topics_together(&[4, 2], false, &[1, 2, 3, 6])]
    fn each_aligned_size_lowers_a_share(
        #[case] counts: &[usize],
        #[case] by_topic: bool,
        #[case] expected: &[usize],
    ) {
        assert_eq!(aligned_sizes(counts, by_topic), expected);
    }

    /// Answers with a fixed size.
    struct Fixed(i32);

    impl Autoscaler for Fixed {
        fn interval(&self) -> i64 {
            15
        }

        fn decide(&mut self, _: GroupView) -> Answer {
            Answer {
                replicas: Some(self.0),
                reason: None,
            }
        }
    }

    /// A view at a time of six partitions of which `partitions` are shown, in a group of this state
    /// and size.
    fn view(t: f64, state: &str, partitions: u32, replicas: i32) -> GroupView {
        let partitions =
            (0..partitions).map(|p| serde_json::json!({ "p": p, "log_end": 9, "committed": 9 }));
        let line = serde_json::from_value(serde_json::json!({
            "t": t,
            "workload": { "spec_replicas": replicas, "ready_replicas": replicas },
            "topics": { "orders": { "partitions": partitions.collect::<Vec<_>>() } },
            "group": { "state": state, "protocol": "range", "members": [] },
        }));
        GroupView {
            line: line.unwrap(),
            pods: Vec::new(),
        }
    }

    #[rstest]
    #[case::nothing_wrong(3, view(900.0, "Stable", 6, 6), "")]
    #[case::too_soon(3, view(100.0, "Stable", 6, 6), "only 90 s after the last action")]
    #[case::not_stable(
        3,
        view(900.0, "PreparingRebalance", 6, 6),
        "while the group is not stable"
    )]
    #[case::not_whole(3, view(900.0, "Stable", 5, 6), "down, with a partition missing")]
    #[case::not_aligned(5, view(900.0, "Stable", 6, 6), "not an aligned size: [1, 2, 3, 6]")]
    #[case::after_an_outage(3, view(700.0, "Stable", 6, 6), "down in an outage or right after it")]
    fn what_breaks_a_promise_is_named(
        #[case] to: i32,
        #[case] then: GroupView,
        #[case] fault: &str,
    ) {
        let mut judged = Judged::new(Box::new(Fixed(6)), vec![(500.0, 600.0)]);
        judged.decide(view(10.0, "Stable", 6, 3));
        judged.inner = Box::new(Fixed(to));
        judged.decide(then);
        let broken = judged.broken();
        let said = broken.join("; ");
        assert_eq!(said.is_empty(), fault.is_empty(), "{said}");
        assert!(said.ends_with(fault), "{said}");
    }

    /// Two topics under range: 7 of 13 and 17 partitions lower a share, of 30 together they do not.
    #[test]
    fn the_assignor_is_remembered_through_a_rebalance() {
        let topics = |protocol: Option<&str>, t: f64, state: &str| {
            let mut then = view(t, state, 0, 6);
            let of = |count: u32| {
                let one = |p| serde_json::json!({ "p": p, "log_end": 9, "committed": 9 });
                serde_json::json!({ "partitions": (0..count).map(one).collect::<Vec<_>>() })
            };
            then.line.topics =
                serde_json::from_value(serde_json::json!({ "a": of(13), "b": of(17) })).unwrap();
            then.line.group.as_mut().unwrap().protocol = protocol.map(str::to_owned);
            then
        };
        let mut judged = Judged::new(Box::new(Fixed(6)), Vec::new());
        judged.decide(topics(Some("range"), 10.0, "Stable"));
        judged.decide(topics(None, 25.0, "PreparingRebalance"));
        judged.inner = Box::new(Fixed(7));
        judged.decide(topics(None, 400.0, "PreparingRebalance"));
        assert_eq!(judged.broken(), Vec::<String>::new());
    }
}
