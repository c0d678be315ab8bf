//! A fixed size: what a Deployment without an autoscaler does.

use super::options::Options;
use super::{Answer, Bounds, Law};
use crate::simulate::number::replicas;
use crate::simulate::plant::Seen;

#[derive(Debug)]
struct Fixed(i32);

/// `static=6`, or `static=max`: as many as can be given a partition.
pub(super) fn new(options: &Options, bounds: &Bounds) -> Result<Box<dyn Law>, String> {
    let options = options.read();
    let size = if options.is("max") {
        bounds.useful
    } else {
        let most = options
            .number("", 0.0, 10_000.0)
            .map_err(|problem| format!("{problem}, or max"))?;
        replicas(most.ok_or("write how many, as in static=6, or static=max")?)
    };
    options.done()?;
    Ok(Box::new(Fixed(size)))
}

impl Law for Fixed {
    fn interval(&self) -> i64 {
        60
    }

    fn decide(&mut self, _: Seen) -> Answer {
        Answer::replicas(Some(self.0))
    }
}
