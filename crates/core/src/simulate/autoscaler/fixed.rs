//! A fixed size: a Deployment without an autoscaler.

use super::options::Options;
use super::{Answer, Autoscaler, Bounds};
use crate::simulate::number::replicas;
use crate::simulate::plant::GroupView;

#[derive(Debug)]
struct Fixed(i32);

/// `static=6`, or `static=max`: as many as can be given a partition.
pub(super) fn new(options: &Options, bounds: &Bounds) -> Result<Box<dyn Autoscaler>, String> {
    let options = options.read();
    let size = if options.is("max") {
        bounds.limit
    } else {
        let most = options
            .number("", 0.0, 10_000.0)
            .map_err(|problem| format!("{problem}, or max"))?;
        replicas(most.ok_or("write how many, as in static=6, or static=max")?)
    };
    options.done()?;
    Ok(Box::new(Fixed(size)))
}

impl Autoscaler for Fixed {
    fn interval(&self) -> i64 {
        60
    }

    fn decide(&mut self, _: GroupView) -> Answer {
        Answer::replicas(Some(self.0))
    }
}
