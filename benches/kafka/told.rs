//! What pollers tell while they look, from one of librdkafka's reports of its requests to another.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use lagrange::kafka::connection::Identity;
use lagrange::kafka::model::error::Category;
use lagrange::kafka::observer::Observer;

/// Adds up what pollers tell.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<Sum>);

/// Looks and requests since the report that the sum begins with.
#[derive(Debug, Default)]
struct Sum {
    looks: Vec<Duration>,
    requests: BTreeMap<String, u64>,
    /// As of the last report: what has come since belongs to the next.
    reported: usize,
    /// The report that it begins with has come: what that says was before.
    begun: bool,
}

/// What a look costs on average.
#[derive(Debug)]
pub(crate) struct Looks {
    pub(crate) count: usize,
    pub(crate) wall: Duration,
    pub(crate) requests: BTreeMap<String, f64>,
}

impl Told {
    /// Begins anew, with the next report.
    pub(crate) fn begin(&self) {
        *self.0.lock().unwrap() = Sum::default();
    }

    /// Looks from the first report to the last.
    pub(crate) fn looks(&self) -> Looks {
        let sum = self.0.lock().unwrap();
        let looks = &sum.looks[..sum.reported];
        let count = u32::try_from(looks.len()).unwrap();
        let share = |total: u64| f64::from(u32::try_from(total).unwrap()) / f64::from(count.max(1));
        let requests = sum.requests.iter();
        Looks {
            count: looks.len(),
            wall: looks.iter().sum::<Duration>() / count.max(1),
            requests: requests
                .map(|(api, total)| (api.clone(), share(*total)))
                .collect(),
        }
    }
}

impl Observer for Told {
    fn looked(&self, _: &Identity, took: Duration) {
        let mut sum = self.0.lock().unwrap();
        if sum.begun {
            sum.looks.push(took);
        }
    }

    /// Comes right after a look, for each kind, when there has been a report.
    fn requested(&self, _: &Identity, api: &str, count: u64) {
        let mut sum = self.0.lock().unwrap();
        if !sum.begun {
            sum.begun = true;
            return;
        }
        if sum.looks.is_empty() {
            // Still the report that it begins with.
            return;
        }
        sum.reported = sum.looks.len();
        *sum.requests.entry(api.to_owned()).or_default() += count;
    }

    fn connected(&self, _: &Identity, _: u64) {}

    fn failed(&self, _: &Identity, category: Category) {
        panic!("something could not be read: {category}");
    }

    fn forgotten(&self, _: &Identity) {}
}
