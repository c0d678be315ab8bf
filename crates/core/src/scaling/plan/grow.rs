//! Scale-ups that the objective asks for.

use crate::scaling::output::decision::ScaleReason;
use crate::scaling::plan::proposal::{Learning, Proposal};
use crate::scaling::plan::situation::Situation;

/// Grows to `to`, unless a gate holds it. `is_urgent`: the objective is about to be broken.
pub(in crate::scaling) fn to(
    situation: &Situation<'_>,
    to: i32,
    why: ScaleReason,
    is_urgent: bool,
) -> Proposal {
    let wait = situation
        .held_by_annotation(to)
        .or_else(|| situation.up_gate(is_urgent));
    Proposal::scale((situation.replicas(), to), why, wait).teaching(Learning::Grows)
}
