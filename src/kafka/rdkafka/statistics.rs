//! What librdkafka's statistics say of its connections and requests. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use crate::kafka::reader::Traffic;

/// Totals as of the last time.
#[derive(Debug, Default)]
pub(super) struct Statistics {
    requests: BTreeMap<(String, String), u64>,
}

/// The part of the JSON that is read.
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
    /// What has happened since the last report. A report that cannot be read tells nothing.
    pub(super) fn take(&mut self, json: &str) -> Traffic {
        let Ok(report) = serde_json::from_str::<Report>(json) else {
            return Traffic::default();
        };
        let mut requests: BTreeMap<String, u64> = BTreeMap::new();
        let mut connections = 0;
        // Brokers that are not there any more have no more requests to count.
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
    fn a_mangled_report_tells_nothing_wrong() {
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
    fn numbers_that_no_counter_has_do_not_overflow() {
        let broker = format!(r#"{{"state":"UP","req":{{"Fetch":{}}}}}"#, u64::MAX);
        let report = format!(r#"{{"brokers":{{"a":{broker},"b":{broker}}}}}"#);
        let told = Statistics::default().take(&report);
        assert_eq!(told.requests, [("Fetch".into(), u64::MAX)]);
    }

    #[test]
    fn a_report_that_cannot_be_read_tells_nothing() {
        assert_eq!(Statistics::default().take("{"), Traffic::default());
    }
}
