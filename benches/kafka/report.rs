//! Sums what pollers report, between two of librdkafka's reports of its requests.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use lagrange::kafka::connection::Identity;
use lagrange::kafka::model::error::Category;
use lagrange::kafka::observer::Observer;

/// An observer that sums the reports.
#[derive(Debug, Default)]
pub(crate) struct Report(Mutex<Sum>);

/// Polls and requests since the report at which the sum begins.
#[derive(Debug, Default)]
struct Sum {
    polls: Vec<Duration>,
    requests: BTreeMap<String, u64>,
    /// Number of polls at the last report. Later polls belong to the next report.
    reported: usize,
    /// Whether the first report has come; it counts requests of earlier polls.
    begun: bool,
}

/// Average cost of a poll.
#[derive(Debug)]
pub(crate) struct Polls {
    pub(crate) count: usize,
    pub(crate) wall: Duration,
    pub(crate) requests: BTreeMap<String, f64>,
}

impl Report {
    /// Starts again, at the next report.
    pub(crate) fn begin(&self) {
        *self.0.lock().unwrap() = Sum::default();
    }

    /// The polls from the first report to the last.
    pub(crate) fn polls(&self) -> Polls {
        let sum = self.0.lock().unwrap();
        let polls = &sum.polls[..sum.reported];
        let count = u32::try_from(polls.len()).unwrap();
        let share = |total: u64| f64::from(u32::try_from(total).unwrap()) / f64::from(count.max(1));
        let requests = sum.requests.iter();
        Polls {
            count: polls.len(),
            wall: polls.iter().sum::<Duration>() / count.max(1),
            requests: requests
                .map(|(api, total)| (api.clone(), share(*total)))
                .collect(),
        }
    }
}

impl Observer for Report {
    fn polled(&self, _: &Identity, took: Duration) {
        let mut sum = self.0.lock().unwrap();
        if sum.begun {
            sum.polls.push(took);
        }
    }

    /// Is called right after a poll, once for each kind of request, if there was a report.
    fn requested(&self, _: &Identity, api: &str, count: u64) {
        let mut sum = self.0.lock().unwrap();
        if !sum.begun {
            sum.begun = true;
            return;
        }
        if sum.polls.is_empty() {
            // This still belongs to the first report.
            return;
        }
        sum.reported = sum.polls.len();
        *sum.requests.entry(api.to_owned()).or_default() += count;
    }

    fn connected(&self, _: &Identity, _: u64) {}

    fn failed(&self, _: &Identity, category: Category) {
        panic!("a poll failed: {category}");
    }

    fn forgotten(&self, _: &Identity) {}
}
