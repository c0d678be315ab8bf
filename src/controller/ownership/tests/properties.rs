//! Properties that hold for any sequence of events.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// One of few groups, on one of few targets and one of few group ids; some name the same cluster by
/// its servers.
fn any_group() -> impl Strategy<Value = ConsumerGroup> {
    (
        0..3_u8,
        0..2_u8,
        0..2_u8,
        any::<bool>(),
        any::<bool>(),
        0..3_u8,
    )
        .prop_map(|(name, target, id, dry, ready, namespace)| {
            group(
                &format!("g{name}"),
                &format!("2026-11-24T12:00:0{}Z", name % 3),
                &name.to_string(),
                |group| {
                    // One in three is of another namespace and shares only group ids.
                    if namespace == 0 {
                        group["metadata"]["namespace"] = json!("vault");
                    }
                    group["spec"]["groupId"] = json!(format!("id{id}"));
                    group["spec"]["scaleTargetRef"]["name"] = json!(format!("t{target}"));
                    if dry {
                        group["spec"]["mode"] = json!("DryRun");
                    }
                    if ready {
                        said(group, "True", "Managed", 1);
                    }
                },
            )
        })
}

#[derive(Debug, Clone)]
enum Step {
    Apply(Box<ConsumerGroup>),
    Remove(u8),
    Ask(u8),
    Note(u8, Progress),
    Pass(i64),
}

fn any_progress() -> impl Strategy<Value = Progress> {
    prop_oneof![
        Just(Progress::Managed),
        Just(Progress::Unknown),
        Just(Progress::Failing)
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => any_group().prop_map(|group| Step::Apply(Box::new(group))),
        1 => (0..3_u8).prop_map(Step::Remove),
        14 => (0..3_u8).prop_map(Step::Ask),
        14 => ((0..3_u8), any_progress()).prop_map(|(name, progress)| Step::Note(name, progress)),
        4 => prop_oneof![Just(60_i64), 1..30_i64].prop_map(Step::Pass),
    ]
}

fn everywhere(name: u8) -> [Name; 2] {
    ["shop", "vault"].map(|namespace| Name::new(namespace, &format!("g{name}")))
}

fn rivals(a: &Claim, b: &Claim) -> Relation {
    if a.name.namespace == b.name.namespace {
        Relation::Rivals
    } else {
        Relation::Neighbours
    }
}

proptest! {
    /// For any sequence: of the claims on one target, and of those on one group, only the one that
    /// was last given the turn may act.
    #[test]
    fn never_two_that_contest_one_thing_may_both_act(steps in proptest::collection::vec(any_step(), 1..200)) {
        let mut bench = Bench::of([]);
        // Claims that have the turn and have been neither changed nor refused since: they may be
        // acting.
        let mut acting: BTreeMap<Name, Claim> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Apply(group) => {
                    bench.claims.apply(&group);
                    let name = Name::of(&*group);
                    if acting.get(&name) != bench.claims.by_name.get(&name) {
                        acting.remove(&name);
                    }
                }
                Step::Remove(name) => for name in everywhere(name) {
                    bench.claims.remove(&name);
                    acting.remove(&name);
                },
                Step::Ask(name) => for name in everywhere(name) {
                    let Some(claim) = bench.claims.by_name.get(&name).cloned() else { continue };
                    match bench.claims.ask(&name, bench.now, rivals) {
                        Ruling::Turn { .. } if claim.acts => { acting.insert(name, claim); }
                        _ => { acting.remove(&name); }
                    }
                },
                Step::Note(name, progress) => for name in everywhere(name) {
                    bench.claims.note(&name, progress, bench.now);
                },
                Step::Pass(time) => bench.pass(seconds(time)),
            }
            // The check that each action makes before it is done.
            let may: Vec<&Claim> = acting
                .values()
                .filter(|claim| bench.claims.has_turn(&claim.name, bench.now))
                .collect();
            for (n, a) in may.iter().enumerate() {
                for b in may.iter().skip(n + 1) {
                    prop_assert!(a.target != b.target, "{a:?} {b:?}");
                    let shared = a.group_id == b.group_id && rivals(a, b) == Relation::Rivals;
                    prop_assert!(!shared, "{a:?} {b:?}");
                }
            }
        }
    }

    /// Without further events it settles: one claim works wherever one could, and nothing changes
    /// any more.
    #[test]
    fn who_can_manage_gets_its_turn_and_then_nothing_changes(
        groups in proptest::collection::vec(any_group(), 1..6),
        works in proptest::collection::vec(any::<bool>(), 3),
        order in Just((0..3_u8).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let mut bench = Bench::of(groups);
        let round = |bench: &mut Bench| {
            let mut says = Vec::new();
            // A claim that is asked to wait for a moment asks again in a moment.
            for number in order.iter().chain(&order) {
                for name in everywhere(*number) {
                    let ruling = bench.claims.ask(&name, bench.now, rivals);
                    if matches!(ruling, Ruling::Turn { .. }) {
                        let well = works.get(usize::from(*number)).copied().unwrap_or_default();
                        let progress = if well { Progress::Managed } else { Progress::Failing };
                        bench.claims.note(&name, progress, bench.now);
                    }
                    says.push(match ruling {
                        Ruling::Turn { .. } => None,
                        Ruling::Contested(contest) => contest.rival,
                        Ruling::Soon { rival } => Some(rival),
                    });
                }
            }
            bench.pass(seconds(30));
            says.split_off(says.len() / 2)
        };
        for _ in 0..12 {
            round(&mut bench);
        }
        let rest = round(&mut bench);
        for _ in 0..6 {
            prop_assert_eq!(&round(&mut bench), &rest);
        }
        // Each waiting claim waits for one that manages.
        for name in rest.iter().flatten() {
            prop_assert!(bench.claims.standings[name].manages(), "{name}");
        }
    }
}
