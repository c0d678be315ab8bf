//! Every number that the rules use, with its unit and the reason for its value.
//!
//! Users set none of them. `lagrange simulate --tuning surge.risen=1.5` overrides one, and
//! `surge.enabled=false` switches a mechanism off, to show what it is worth. Facts that are not a
//! choice (a transaction marker takes one offset) stay where they are used.

pub(in crate::scaling) mod measure;
mod plan;
pub(in crate::scaling) mod unit;

use std::ops::Deref;
use std::sync::Arc;

use thiserror::Error;

use self::measure::{
    Arrivals, Capacity, Delayed, Handover, Membership, Offsets, Polls, Progress, Series, Skew,
    Surge,
};
use self::plan::{
    Backlog, FlapBackoff, Growth, Ineffective, LagPeaks, LoadHistory, Pacing, Probe, Shrink, Stall,
};
use self::unit::Parameter;

/// Declares [`Tuning`]: its mechanisms, in the order in which they are used.
macro_rules! mechanisms {
    ($($name:ident: $group:ident,)+) => {
        /// Every number that the rules use.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Tuning {
            $(pub(in crate::scaling) $name: $group,)+
        }

        impl Tuning {
            /// The values that the operator uses.
            pub const DEFAULT: Self = Self { $($name: $group::DEFAULT,)+ };

            fn visit(
                &mut self,
                visit: &mut dyn FnMut(&'static str, &'static str, &'static str, &mut dyn Parameter),
            ) {
                $(self.$name.visit(&mut |field, why, value| {
                    visit(stringify!($name), field, why, value);
                });)+
            }
        }
    };
}

mechanisms! {
    polls: Polls,
    series: Series,
    arrivals: Arrivals,
    surge: Surge,
    progress: Progress,
    delayed: Delayed,
    handover: Handover,
    skew: Skew,
    capacity: Capacity,
    membership: Membership,
    offsets: Offsets,
    growth: Growth,
    stall: Stall,
    backlog: Backlog,
    shrink: Shrink,
    load_history: LoadHistory,
    probe: Probe,
    lag_peaks: LagPeaks,
    flap_backoff: FlapBackoff,
    ineffective: Ineffective,
    pacing: Pacing,
}

/// The default, or overridden values that several policies share.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SharedTuning(Option<Arc<Tuning>>);

impl SharedTuning {
    /// The default with these overrides, each written `field=value`.
    pub fn with<'a>(overrides: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidTuning> {
        let mut overrides = overrides.into_iter().peekable();
        if overrides.peek().is_none() {
            return Ok(Self::default());
        }
        Tuning::with(overrides).map(|tuning| Self(Some(Arc::new(tuning))))
    }
}

impl Deref for SharedTuning {
    type Target = Tuning;

    fn deref(&self) -> &Tuning {
        self.0.as_deref().unwrap_or(&Tuning::DEFAULT)
    }
}

/// An override that cannot be used. The text names what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidTuning {
    /// Not `field=value`.
    #[error("{0}: write field=value, such as surge.risen=1.5")]
    Form(String),
    /// There is no such field.
    #[error("no field {name}; {known}")]
    Field {
        /// What was written.
        name: String,
        /// The fields that exist.
        known: String,
    },
    /// A value that the field cannot have.
    #[error("{name}: {value} is not possible; {hint} (it is {now})")]
    Value {
        /// The field.
        name: String,
        /// What was written.
        value: String,
        /// What to write.
        hint: &'static str,
        /// The present value.
        now: String,
    },
    /// Fields that contradict each other.
    #[error("{0}")]
    Relation(&'static str),
}

impl Tuning {
    /// The default with these overrides, each written `field=value`.
    fn with<'a>(overrides: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidTuning> {
        let mut tuning = Self::DEFAULT;
        for text in overrides {
            tuning.set(text)?;
        }
        tuning
            .contradiction()
            .map_or(Ok(tuning), |problem| Err(InvalidTuning::Relation(problem)))
    }

    fn set(&mut self, text: &str) -> Result<(), InvalidTuning> {
        let Some((name, value)) = text.split_once('=') else {
            return Err(InvalidTuning::Form(text.to_owned()));
        };
        let mut read = None;
        self.visit(&mut |group, field, _, parameter| {
            if name.split_once('.') == Some((group, field)) {
                let now = parameter.show();
                read = Some(parameter.read(value).map_err(|hint| (hint, now)));
            }
        });
        match read {
            Some(Ok(())) => Ok(()),
            Some(Err((hint, now))) => Err(InvalidTuning::Value {
                name: name.to_owned(),
                value: value.to_owned(),
                hint,
                now,
            }),
            None => Err(InvalidTuning::Field {
                name: name.to_owned(),
                known: self.known(name),
            }),
        }
    }

    /// The fields of the group that `name` belongs to; the groups, if it belongs to none.
    fn known(&mut self, name: &str) -> String {
        let of = name.split('.').next().unwrap_or_default();
        let (mut groups, mut fields) = (Vec::new(), Vec::new());
        self.visit(&mut |group, field, _, _| {
            if groups.last() != Some(&group) {
                groups.push(group);
            }
            if group == of {
                fields.push(field);
            }
        });
        if fields.is_empty() {
            return format!(
                "fields are written group.field; the groups are {}",
                groups.join(", ")
            );
        }
        format!("{of} has {}", fields.join(", "))
    }

    /// The first contradiction among the values.
    const fn contradiction(&self) -> Option<&'static str> {
        if self.probe.most.as_secs() < self.probe.first.as_secs() {
            return Some("probe.most is below probe.first");
        }
        if self.ineffective.most.as_secs() < self.ineffective.first.as_secs() {
            return Some("ineffective.most is below ineffective.first");
        }
        if self.ineffective.judged_for.as_secs() < self.ineffective.judged_after.as_secs() {
            return Some("ineffective.judged_for is below ineffective.judged_after");
        }
        if self.probe.late.0 > self.shrink.late.0 {
            return Some("probe.late is above shrink.late: a probe is no less careful");
        }
        if self.shrink.left.0 > self.shrink.calm.0 || self.shrink.calm.0 > self.shrink.calm_most.0 {
            return Some("shrink.left, shrink.calm and shrink.calm_most do not ascend");
        }
        if self.growth.surge_line.0 < self.growth.line.0 {
            return Some("growth.surge_line is below growth.line: one poll shows less than four");
        }
        if self.series.dense.as_secs()
            < self.arrivals.steady.as_secs() + self.polls.interval.as_secs()
        {
            return Some("series.dense does not hold arrivals.steady and one poll more");
        }
        if self.series.rate_least.as_secs() > self.arrivals.latest.as_secs() {
            return Some("series.rate_least is above arrivals.latest");
        }
        if self.series.points < self.capacity.polls + 3 || self.series.points < self.surge.polls + 1
        {
            return Some("series.points does not hold the polls of capacity and surge");
        }
        if self.capacity.first_polls > self.capacity.polls {
            return Some("capacity.first_polls is above capacity.polls");
        }
        if self.lag_peaks.window_most.as_secs() >= self.lag_peaks.oldest.as_secs() {
            return Some("lag_peaks.window_most is not below lag_peaks.oldest");
        }
        if self.lag_peaks.points < 4 || self.load_history.points < 4 {
            return Some("lag_peaks.points and load_history.points are at least 4");
        }
        if self.load_history.fine.as_secs() > self.load_history.oldest.as_secs() {
            return Some("load_history.fine is above load_history.oldest");
        }
        if self.handover.usual.as_secs() > self.handover.most.as_secs()
            || self.handover.percent > 100
        {
            return Some("handover.usual is above handover.most, or handover.percent above 100");
        }
        if self.progress.stuck_unknown.as_secs() < self.progress.stuck_after.as_secs() {
            return Some("progress.stuck_unknown is below progress.stuck_after");
        }
        if self.pacing.down_least.as_secs() < self.pacing.up_least.as_secs() {
            return Some("pacing.down_least is below pacing.up_least");
        }
        None
    }
}

const _: () = assert!(Tuning::DEFAULT.contradiction().is_none());

#[cfg(test)]
mod tests;
