//! The steps that both objectives report.

use crate::scaling::measure::demand::Demand;
use crate::scaling::measure::limits::LimitedBy;
use crate::scaling::output::trail::Step;
use crate::scaling::plan::situation::Situation;

/// The bound that keeps the size from being the count that was asked for.
pub(in crate::scaling) fn limited_by(
    situation: &Situation<'_>,
    demand: Option<Demand>,
) -> Option<LimitedBy> {
    let bounds = situation.measured.bounds.as_ref()?;
    let asked = demand?.asked;
    if asked > bounds.ceiling {
        let max = situation.policy.max;
        return Some(if max.is_some_and(|max| max < bounds.limit) {
            LimitedBy::MaxReplicas
        } else {
            LimitedBy::PartitionLimit
        });
    }
    (asked.max(1) < bounds.floor).then_some(LimitedBy::MinReplicas)
}

/// The reason why the size is not the count that was asked for.
pub(in crate::scaling) fn limit(situation: &Situation<'_>, demand: Demand) -> Option<Step> {
    let Demand { asked, wanted } = demand;
    let bounds = situation.measured.bounds.as_ref();
    if let (Some(by), Some(bounds)) = (limited_by(situation, Some(demand)), bounds) {
        let at = if by == LimitedBy::MinReplicas {
            bounds.floor
        } else {
            bounds.ceiling
        };
        return Some(Step::Limited { by, at });
    }
    let layout = situation.measured.layout.as_ref()?;
    (wanted != asked && asked > 0).then(|| Step::Useful {
        asked,
        taken: wanted,
        share_asked: layout.largest_share(asked),
        share_taken: layout.largest_share(wanted),
    })
}

/// Partitions that have no owner yet, and stuck partitions.
pub(in crate::scaling) fn partitions(new: i32, stuck: i32) -> impl Iterator<Item = Step> {
    let new = (new > 0).then_some(Step::NewPartitions { count: new });
    let stuck = (stuck > 0).then_some(Step::Stuck { count: stuck });
    new.into_iter().chain(stuck)
}
