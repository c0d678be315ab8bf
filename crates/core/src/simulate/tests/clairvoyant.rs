//! Tests of the plan that knows the load.

use std::collections::BTreeMap;

use super::*;

/// Two hours in which the load more than triples within a minute, and falls.
const JUMP: &str = "time,rate\n0,250\n3540,250\n3600,900\n5400,900\n5460,250\n7200,250\n";

fn compared(with: &str, change: impl FnOnce(&mut Parameters)) -> Vec<Outcome> {
    let mut setup = setup(json!({}), JUMP);
    setup.baselines = Baseline::list(with).unwrap();
    change(&mut setup.parameters);
    setup.fit().unwrap().run(&|_| ()).unwrap()
}

#[test]
fn a_plan_that_knows_the_load_is_ready_when_it_jumps_and_costs_least() {
    let outcomes = compared("clairvoyant,static=2,static=6,hpa-cpu=70", |_| ());
    let [lagrange, clairvoyant, others @ ..] = outcomes.as_slice() else {
        panic!("two autoscalers at least");
    };
    assert_eq!(clairvoyant.autoscaler, "clairvoyant");
    let score = &clairvoyant.scores[0];
    assert_eq!(score.late_seconds, 0, "{score:?}");
    for other in others.iter().chain([lagrange]) {
        assert!(
            score.j <= other.scores[0].j,
            "{}: {score:?}",
            other.autoscaler
        );
    }
    let first = &clairvoyant.actions[0];
    assert!(first.to > first.from, "{first:?}");
    assert!((3300..3600).contains(&first.t), "{first:?}");
}

#[test]
fn what_no_size_can_help_buys_none() {
    // One partition gets more than a consumer can do. With three replicas its owner has one more.
    let weights = BTreeMap::from([("orders".to_owned(), vec![30.0, 1.0, 1.0, 1.0, 1.0, 1.0])]);
    let outcomes = compared("clairvoyant", |p| p.weights = weights);
    let most = outcomes[1].actions.iter().map(|action| action.to).max();
    assert!(most <= Some(3), "{:?}", outcomes[1].actions);
}

#[test]
fn it_has_no_options() {
    let error = Baseline::list("clairvoyant=5").unwrap_err().to_string();
    assert!(
        error.starts_with("clairvoyant=5: it has no value of its own"),
        "{error}"
    );
}
