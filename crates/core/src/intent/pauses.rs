//! The pause annotations (ACT-10). A value that is not understood pauses: its author wanted
//! something stopped.

use std::collections::BTreeMap;

use crate::{
    api::annotations::{PAUSE_PREFIX, PAUSED, PAUSED_REPLICAS, PAUSED_SCALE_IN, PAUSED_SCALE_OUT},
    scaling::policy::{Pause, Pauses},
};

/// Characters of a value that a message repeats.
const READABLE: usize = 40;

/// The pauses that the annotations of a group ask for; `max` is its `maxReplicas`.
pub(super) fn of(annotations: &BTreeMap<String, String>, max: Option<i32>) -> Pauses {
    let mut pauses = Pauses::default();
    let mut not_understood = None;
    for (annotation, value) in annotations
        .iter()
        .filter(|(key, _)| key.starts_with(PAUSE_PREFIX))
    {
        let understood = match annotation.as_str() {
            PAUSED => switch(value).map(|on| {
                if on && pauses.pause.is_none() {
                    pauses.pause = Some(Pause::AtCurrentSize);
                }
            }),
            PAUSED_REPLICAS => {
                replicas(value, max).map(|replicas| pauses.pause = Some(Pause::At(replicas)))
            }
            PAUSED_SCALE_IN => switch(value).map(|on| pauses.no_scale_in = on),
            PAUSED_SCALE_OUT => switch(value).map(|on| pauses.no_scale_out = on),
            _ => None,
        };
        if understood.is_none() {
            let value = value.chars().take(READABLE).collect();
            not_understood.get_or_insert(Pause::NotUnderstood {
                annotation: annotation.clone(),
                value,
            });
        }
    }
    // Also in place of a size that was understood: of two annotations, the stricter one counts.
    pauses.pause = not_understood.or(pauses.pause);
    pauses
}

/// The values that KEDA accepts (Go's `ParseBool`), so that existing manifests work.
fn switch(value: &str) -> Option<bool> {
    match value {
        "true" | "True" | "TRUE" | "t" | "T" | "1" => Some(true),
        "false" | "False" | "FALSE" | "f" | "F" | "0" => Some(false),
        _ => None,
    }
}

fn replicas(value: &str, max: Option<i32>) -> Option<i32> {
    value
        .parse()
        .ok()
        .filter(|replicas| (0..=max.unwrap_or(i32::MAX)).contains(replicas))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn annotated(annotations: &[(&str, &str)]) -> BTreeMap<String, String> {
        annotations
            .iter()
            .map(|&(key, value)| (format!("lagrange.dev/{key}"), value.to_owned()))
            .collect()
    }

    fn not_understood(annotation: &str, value: &str) -> Pause {
        Pause::NotUnderstood {
            annotation: format!("lagrange.dev/{annotation}"),
            value: value.to_owned(),
        }
    }

    /// ACT-10.
    #[rstest]
    #[case::nothing(&[], None)]
    #[case::true_pauses(&[("paused", "true")], Some(Pause::AtCurrentSize))]
    #[case::a_value_of_keda(&[("paused", "T")], Some(Pause::AtCurrentSize))]
    #[case::false_does_not(&[("paused", "false")], None)]
    #[case::a_size_wins_over_paused(&[("paused", "true"), ("paused-replicas", "3")], Some(Pause::At(3)))]
    #[case::a_size_wins_over_not_paused(&[("paused", "false"), ("paused-replicas", "3")], Some(Pause::At(3)))]
    #[case::zero(&[("paused-replicas", "0")], Some(Pause::At(0)))]
    #[case::the_maximum(&[("paused-replicas", "20")], Some(Pause::At(20)))]
    #[case::above_the_maximum(&[("paused-replicas", "21")], Some(not_understood("paused-replicas", "21")))]
    #[case::negative(&[("paused-replicas", "-1")], Some(not_understood("paused-replicas", "-1")))]
    #[case::not_a_number(&[("paused-replicas", "three")], Some(not_understood("paused-replicas", "three")))]
    #[case::a_number_too_large(&[("paused-replicas", "99999999999")], Some(not_understood("paused-replicas", "99999999999")))]
    #[case::an_unknown_word(&[("paused", "yes")], Some(not_understood("paused", "yes")))]
    #[case::empty(&[("paused", "")], Some(not_understood("paused", "")))]
    #[case::an_unknown_word_for_one_direction(&[("paused-scale-in", "on")], Some(not_understood("paused-scale-in", "on")))]
    #[case::an_unknown_word_beside_a_size(&[("paused", "si"), ("paused-replicas", "3")], Some(not_understood("paused", "si")))]
    #[case::a_misspelt_name(&[("paused-replica", "3")], Some(not_understood("paused-replica", "3")))]
    #[case::a_name_that_is_too_short(&[("pause", "true")], Some(not_understood("pause", "true")))]
    #[case::another_annotation(&[("note", "paused")], None)]
    fn annotations_pause(#[case] annotations: &[(&str, &str)], #[case] pause: Option<Pause>) {
        assert_eq!(of(&annotated(annotations), Some(20)).pause, pause);
    }

    #[test]
    fn each_direction_is_paused_separately() {
        let pauses = of(
            &annotated(&[("paused-scale-in", "true"), ("paused-scale-out", "false")]),
            None,
        );
        assert_eq!(
            pauses,
            Pauses {
                pause: None,
                no_scale_in: true,
                no_scale_out: false
            }
        );

        let pauses = of(&annotated(&[("paused-scale-out", "1")]), None);
        assert_eq!(
            pauses,
            Pauses {
                pause: None,
                no_scale_in: false,
                no_scale_out: true
            }
        );
    }

    #[test]
    fn a_long_value_is_cut_in_messages() {
        let pauses = of(&annotated(&[("paused", &"ä".repeat(1_000))]), None);
        assert_eq!(
            pauses.pause,
            Some(not_understood("paused", &"ä".repeat(READABLE)))
        );
    }
}
