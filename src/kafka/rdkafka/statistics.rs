//! Connections and requests from librdkafka's statistics. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use crate::kafka::reader::Traffic;

/// Totals of the last report.
#[derive(Debug, Default)]
pub(super) struct Statistics {
    requests: BTreeMap<(String, String), u64>,
}

/// The part of the JSON that is used.
#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    brokers: BTreeMap<String, Broker>,
}

#[derive(Deserialize)]
struct Broker {
    state: String,
    #[serde(default)]
    req: BTreeMap<String, u64>,
}

impl Statistics {
    /// What was sent since the last report. A report that cannot be parsed adds nothing.
    pub(super) fn take(&mut self, json: &str) -> Traffic {
        let Ok(report) = serde_json::from_str::<Report>(json) else {
            return Traffic::default();
        };
        let mut requests: BTreeMap<String, u64> = BTreeMap::new();
        let mut connections = 0;
        // Forget brokers that are gone.
        self.requests
            .retain(|(name, _), _| report.brokers.contains_key(name));
        for (name, broker) in report.brokers {
            connections += u64::from(broker.state == "UP");
            for (api, total) in broker.req {
                let before = self.requests.insert((name.clone(), api.clone()), total);
                let more = total.saturating_sub(before.unwrap_or(0));
                if more > 0 {
                    let sum = requests.entry(api).or_default();
                    *sum = sum.saturating_add(more);
                }
            }
        }
        let requests = requests.into_iter();
        Traffic {
            requests: requests
                .map(|(api, count)| (Arc::from(api), count))
                .collect(),
            connections: Some(connections),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_was_sent_since_the_last_report() {
        let report = |fetches: u64, state: &str| {
            format!(
                r#"{{"name":"x","brokers":{{
                    "a:1/1":{{"state":"UP","req":{{"OffsetFetch":{fetches},"Metadata":1,"Fetch":0}}}},
                    "b:1/2":{{"state":"{state}","req":{{"OffsetFetch":2}}}}}}}}"#
            )
        };
        let mut statistics = Statistics::default();
        let first = statistics.take(&report(5, "UP"));
        assert_eq!(first.connections, Some(2));
        assert_eq!(
            first.requests,
            [("Metadata".into(), 1), ("OffsetFetch".into(), 7)]
        );
        let second = statistics.take(&report(9, "DOWN"));
        assert_eq!(second.connections, Some(1));
        assert_eq!(second.requests, [("OffsetFetch".into(), 4)]);
    }

    #[test]
    fn a_mangled_report_does_not_panic() {
        let report = r#"{"name":"x","brokers":{"a:1/1":{"state":"UP","req":{"OffsetFetch":5,"Metadata":1}},
            "b:1/2":{"state":"DOWN","req":{"OffsetFetch":18446744073709551615}}}}"#;
        lagrange_fuzz::fuzz(&[report], |bytes| {
            let mut statistics = Statistics::default();
            statistics.take(report);
            statistics.take(&String::from_utf8_lossy(bytes));
            statistics.take(report);
        });
    }

    #[test]
    fn the_largest_counters_do_not_overflow() {
        let broker = format!(r#"{{"state":"UP","req":{{"Fetch":{}}}}}"#, u64::MAX);
        let report = format!(r#"{{"brokers":{{"a":{broker},"b":{broker}}}}}"#);
        let taken = Statistics::default().take(&report);
        assert_eq!(taken.requests, [("Fetch".into(), u64::MAX)]);
    }

    #[test]
    fn an_unreadable_report_adds_nothing() {
        assert_eq!(Statistics::default().take("{"), Traffic::default());
    }
}
