//! Tests of groups with habits that users report from production: what they cost, and what must not
//! happen to them.

use std::collections::BTreeMap;

use super::*;

/// A group of `orders` with 12 partitions under range, eager rebalances of 8 s, pods of 30 s, one
/// autoscaler and one seed.
fn group(spec: Value, load: &str, change: impl FnOnce(&mut Parameters)) -> Outcome {
    let mut setup = setup(spec, load);
    setup.partitions = Some(12);
    setup.parameters.eager_seconds = 8.0;
    setup.parameters.start_seconds = (25.0, 30.0, 40.0);
    change(&mut setup.parameters);
    let mut outcomes = setup.fit().unwrap().run(&|_| ()).unwrap();
    outcomes.remove(0)
}

fn sizes(outcome: &Outcome) -> Vec<i32> {
    outcome.actions.iter().map(|action| action.to).collect()
}

#[test]
fn releases_make_a_backlog_and_ask_for_nothing() {
    let spec = json!({ "objective": { "lagPerReplica": 2000 } });
    let outcome = group(spec, "0,780\n21600,780\n", |p| {
        p.initial_replicas = Some(6);
        p.releases = (1..12).map(|n| n * 1800).collect();
    });
    assert!(outcome.actions.len() <= 4, "{:?}", sizes(&outcome));
}

#[test]
fn beside_members_of_somebody_else_it_grows_no_further_than_they_leave() {
    let outcome = group(json!({}), "0,200\n600,200\n660,2600\n5400,2600\n", |p| {
        p.initial_replicas = Some(1);
        p.foreign_members = 8;
    });
    assert_eq!(
        sizes(&outcome).iter().max(),
        Some(&4),
        "{:?}",
        sizes(&outcome)
    );
}

#[test]
fn what_members_of_somebody_else_carry_is_asked_of_no_replica() {
    // A peak shows what a consumer can do; after it nine members carry what one replica alone could
    // not.
    let load = "0,1000\n600,1000\n660,2800\n1500,2800\n1560,1000\n7200,1000\n";
    let outcome = group(json!({}), load, |p| {
        p.initial_replicas = Some(4);
        p.foreign_members = 8;
    });
    let last = outcome.series.last().unwrap().replicas;
    assert_eq!(last, 1, "{:?}", sizes(&outcome));
}

#[test]
fn a_group_that_restores_state_is_moved_seldom() {
    let waves = (0..16).map(|n| format!("{},{}\n", n * 1200, if n % 2 == 0 { 500 } else { 1300 }));
    let load: String = waves.collect();
    let actions = |restores| {
        let outcome = group(json!({ "objective": { "maxDelay": "5m" } }), &load, |p| {
            p.restore_seconds = restores;
        });
        outcome.actions.len()
    };
    let (plain, dear) = (actions(0), actions(240));
    assert!(dear <= 8 && dear <= plain, "{dear}, and {plain} without");
}

#[test]
fn commits_that_are_rare_and_lost_do_not_throw_a_group_about() {
    let outcome = group(json!({}), "0,150\n21600,150\n", |p| {
        p.initial_replicas = Some(1);
        p.commit_interval_seconds = 600;
        p.commits_on_revoke = false;
    });
    let read_again = outcome.scores[0].read_again / (150.0 * 21_600.0);
    assert!(outcome.actions.len() <= 8, "{:?}", sizes(&outcome));
    assert!(read_again < 0.15, "{read_again}");
}

#[test]
fn a_group_that_is_thrown_about_keeps_its_size() {
    let outcome = group(json!({}), "0,800\n10800,800\n", |p| {
        p.initial_replicas = Some(6);
        p.rebalance_every_seconds = 45;
    });
    assert!(outcome.actions.len() <= 2, "{:?}", sizes(&outcome));
}

#[rstest]
#[case::view(json!({ "topics": ["orders", "retries"] }), 24.0, 12)]
#[case::said(json!({ "topics": ["orders", "retries"], "delayedTopicPattern": "ret.*" }), 19.0, 6)]
fn a_topic_for_retries_asks_for_nothing(
    #[case] spec: Value,
    #[case] replica_hours: f64,
    #[case] most: i32,
) {
    let outcome = group(spec, "time,orders,retries\n0,360,60\n21600,360,60\n", |p| {
        p.initial_replicas = Some(3);
        p.waits = BTreeMap::from([("retries".to_owned(), 600)]);
    });
    let sizes = sizes(&outcome);
    assert!(
        outcome.scores[0].replica_hours < replica_hours,
        "{:?} {sizes:?}",
        outcome.scores
    );
    assert!(sizes.iter().all(|size| *size <= most), "{sizes:?}");
    assert!(outcome.series.last().unwrap().replicas <= 4, "{sizes:?}");
}

#[test]
fn a_backlog_that_nothing_adds_to_is_shared_by_as_many_as_shorten_it() {
    // 17,000 records before the first poll, and none after it: 340 s for one consumer, 57 s for
    // six.
    let spec = json!({ "objective": { "maxDelay": "60s" } });
    let outcome = group(spec, "0,283\n60,0\n900,0\n", |p| {
        p.initial_replicas = Some(1);
        p.consumers_from_seconds = 61;
        p.topics = BTreeMap::from([("orders".to_owned(), 6)]);
        p.consumer_rate = 50.0;
    });
    let first = outcome.actions.first().map(|action| action.to);
    assert_eq!(first, Some(6), "{:?}", sizes(&outcome));
}

#[test]
fn consumers_that_just_carry_their_load_are_not_taken_for_waiting_ones() {
    // Topics with six and two partitions: two of six consumers have one of each, and hardly any
    // reserve. Their records stay unread for about the same time throughout.
    let spec = json!({ "topics": ["a", "b"], "objective": { "maxDelay": "5m" } });
    let load = "time,a,b\n0,300,60\n1800,300,60\n1860,750,140\n18000,750,140\n";
    let outcome = group(spec, load, |p| {
        p.initial_replicas = Some(3);
        p.eager_per_member_seconds = 0.0;
        p.topics = BTreeMap::from([("a".to_owned(), 6), ("b".to_owned(), 2)]);
    });
    let loaded = outcome.actions.iter().filter(|action| action.t > 1860);
    let loaded: Vec<i32> = loaded.map(|action| action.to).collect();
    assert_eq!(loaded, [6]);
}

#[test]
fn pods_that_are_unready_while_they_are_busy_do_not_hold_the_group() {
    let spec = json!({ "objective": { "lagPerReplica": 1000 } });
    let outcome = group(spec, "0,100\n600,100\n660,900\n5400,900\n", |p| {
        p.initial_replicas = Some(1);
        p.unready_from_lag = Some(800.0);
    });
    assert!(
        sizes(&outcome).iter().max() >= Some(&6),
        "{:?}",
        sizes(&outcome)
    );
    assert!(
        outcome.scores[0].max_delay_seconds < 300,
        "{:?}",
        outcome.scores
    );
}

#[test]
fn a_group_that_never_commits_keeps_its_size() {
    let spec = json!({ "objective": { "lagPerReplica": 1000 }, "autoOffsetReset": "Latest" });
    let outcome = group(spec, "0,600\n7200,600\n", |p| {
        p.initial_replicas = Some(6);
        p.never_commits = true;
    });
    assert_eq!(sizes(&outcome), [0; 0]);
}

#[test]
fn a_scale_down_follows_another_when_its_leavers_have_left() {
    let load = "0,2000\n1800,2000\n1860,150\n10800,150\n";
    let outcome = group(json!({}), load, |p| {
        p.initial_replicas = Some(12);
        p.grace_seconds = 240;
    });
    let downs: Vec<i64> = outcome
        .actions
        .iter()
        .filter(|a| a.to < a.from)
        .map(|a| a.t)
        .collect();
    assert!(downs.len() > 1, "{:?}", sizes(&outcome));
    assert!(
        downs.windows(2).all(|pair| pair[1] - pair[0] > 240),
        "{downs:?}"
    );
}
