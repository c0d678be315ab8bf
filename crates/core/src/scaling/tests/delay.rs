//! The time objective from the user's point of view: consumers with a fixed capacity, in virtual
//! time.

use rstest::rstest;

use super::*;
use crate::scaling::output::decision::ScaleReason;
use crate::scaling::state::capacity_model::{Bottleneck, CapacityModel};
use crate::scaling::tests::plant::Plant;

#[test]
fn a_load_that_grows_is_met_before_the_objective_is_broken() {
    let mut plant = Plant::new(24, 4, 700);
    plant.run(8);
    plant.load(2100);
    let mut worst = 0;
    for _ in 0..80 {
        let decision = plant.poll();
        worst = worst.max(decision.facts.delay.unwrap().as_secs());
    }
    assert!(
        plant.world.replicas >= 12,
        "{} replicas",
        plant.world.replicas
    );
    assert!(worst < 75, "{worst} s");
    assert_eq!(plant.capacity(), Some(200));
}

#[test]
fn only_counts_worth_having_are_taken() {
    let mut plant = Plant::new(17, 2, 300);
    let mut sizes = Vec::new();
    for load in [300, 900, 2400, 1500, 600, 3000, 200] {
        plant.load(load);
        sizes.extend(plant.run(60).into_iter().map(|(_, to)| to));
    }
    assert!(sizes.len() >= 6, "{sizes:?}");
    assert!(
        sizes.iter().all(|n| [1, 2, 3, 4, 5, 6, 9, 17].contains(n)),
        "{sizes:?}"
    );
}

#[test]
fn a_load_that_falls_is_followed_once_that_has_paid() {
    let mut plant = Plant::new(24, 4, 2100);
    plant.run(60);
    let before = plant.world.replicas;
    plant.load(700);
    let fallen = plant.world.now;
    let actions = plant.run(80);
    assert!(actions.iter().all(|(from, to)| to < from), "{actions:?}");
    assert!(plant.world.replicas <= 5 && before >= 12);
    let last = plant.world.state.memory.last.unwrap().time;
    assert!(last.duration_since(fallen) >= secs(120));
}

#[test]
fn the_capacity_is_measured_only_at_consumers_with_work_all_along() {
    let mut plant = Plant::new(24, 8, 1200);
    for _ in 0..8 {
        plant.poll();
    }
    assert_eq!(plant.capacity(), None, "they keep up: they show the load");
    let mut stuck = Plant::new(24, 1, 100);
    stuck.stuck = Some(3);
    stuck.run(40);
    assert_eq!(stuck.capacity(), None, "a stuck partition is no backlog");
}

#[test]
fn without_a_backlog_the_capacity_is_probed_downwards_and_a_failed_probe_brackets_it() {
    let mut plant = Plant::new(24, 12, 1500);
    let mut reasons = Vec::new();
    for _ in 0..120 {
        if let Verdict::Scale { why, from, to } = plant.poll().verdict {
            reasons.push((why, from, to));
        }
    }
    assert_eq!(reasons[0], (ScaleReason::ProbingCapacity, 12, 8));
    // Eight are enough; the next probe goes too far and is undone.
    assert_eq!(reasons[1].0, ScaleReason::ProbingCapacity);
    assert_eq!(reasons[2].0, ScaleReason::DelayAboveTarget);
    assert_eq!(plant.world.replicas, 8, "{reasons:?}");
}

#[test]
fn a_stuck_partition_buys_no_replicas_and_is_named() {
    let mut plant = Plant::new(24, 6, 1000);
    plant.run(20);
    plant.stuck = Some(5);
    let before = plant.world.replicas;
    let mut decision = plant.poll();
    for _ in 0..200 {
        decision = plant.poll();
    }
    assert_eq!(
        decision.facts.stuck_partitions,
        [(Arc::from("orders"), 5)],
        "{decision:#?}"
    );
    assert!(plant.world.replicas <= before, "{}", plant.world.replicas);
    plant.stuck = None;
    assert_eq!(plant.poll().facts.stuck_partitions, [], "it moves again");
}

#[test]
fn a_hot_partition_buys_no_idle_replicas_and_is_named() {
    let mut plant = Plant::new(24, 4, 1000);
    plant.run(40);
    assert_eq!(plant.capacity(), Some(200));
    plant.arrivals[2] = 900;
    let mut decision = plant.poll();
    for _ in 0..120 {
        decision = plant.poll();
    }
    assert_eq!(decision.facts.hot_partitions, [(Arc::from("orders"), 2)]);
    assert!(plant.world.replicas <= 12, "{}", plant.world.replicas);
}

#[test]
fn a_scale_up_that_brings_nothing_is_taken_back_and_not_tried_again_for_half_an_hour() {
    let mut plant = Plant::new(24, 8, 1400);
    plant.run(40);
    plant.shared = Some(1000);
    let mut back = None;
    for _ in 0..120 {
        if let Verdict::Scale { from, to, why } = plant.poll().verdict
            && why == ScaleReason::ScalingIneffective
        {
            back = Some((from, to, plant.world.now));
            break;
        }
    }
    let (from, to, at) = back.expect("it should be noticed");
    assert!(to < from);
    let decision = plant.poll();
    assert_eq!(decision.facts.bottleneck, Some(to));
    while plant.world.now.duration_since(at) < secs(1780) {
        let decision = plant.poll();
        assert_eq!(scale(&decision).filter(|(from, to)| to > from), None);
    }
}

#[test]
fn a_load_that_comes_back_grows_the_group_up_to_the_bottleneck_and_no_further() {
    let mut plant = Plant::new(24, 8, 1400);
    plant.run(40);
    plant.shared = Some(1000);
    let bottleneck = loop {
        if let Some(size) = plant.poll().facts.bottleneck {
            break size;
        }
    };
    plant.load(200);
    while plant.world.replicas >= bottleneck {
        plant.poll();
    }
    plant.load(1400);
    plant.run(24);
    let model = &plant.world.state.memory.model;
    assert!(model.bottleneck.is_some(), "it is believed all along");
    assert_eq!(plant.world.replicas, bottleneck);
}

#[test]
fn a_capacity_that_was_measured_in_worse_days_is_put_right_by_consumers_that_keep_up() {
    let mut plant = Plant::new(24, 4, 700);
    plant.rate = 100;
    plant.run(60);
    assert_eq!((plant.capacity(), plant.world.replicas), (Some(100), 8));
    plant.rate = 200;
    plant.load(1100);
    plant.run(20);
    assert!(plant.capacity() >= Some(130), "{:?}", plant.capacity());
    plant.load(700);
    plant.run(40);
    assert!(plant.world.replicas <= 6, "{}", plant.world.replicas);
}

#[test]
fn a_release_that_makes_consumers_slower_is_noticed() {
    let mut plant = Plant::new(24, 4, 1400);
    plant.run(60);
    assert_eq!(plant.capacity(), Some(200));
    plant.rate = 100;
    plant.run(60);
    let capacity = plant.capacity().unwrap();
    assert!((95..=110).contains(&capacity), "{capacity}");
    assert_eq!(plant.world.replicas, 24);
}

/// The workload rolls out, and from then on each consumer has the capacity `rate`.
fn release(plant: &mut Plant, rate: i64) {
    plant.world.rollout = Rollout::InProgress;
    plant.run(2);
    (plant.rate, plant.stall) = (rate, 20);
    plant.world.rollout = Rollout::None;
}

#[test]
fn a_release_that_doubles_the_speed_is_noticed_though_nothing_waits() {
    let mut plant = Plant::new(24, 4, 3000);
    plant.run(30);
    plant.load(1500);
    plant.run(60);
    assert_eq!((plant.capacity(), plant.world.replicas), (Some(200), 8));
    release(&mut plant, 400);
    let actions = plant.run(240);
    assert!(plant.world.replicas <= 5, "{actions:?}");
    let model = plant.world.state.memory.model.capacity.unwrap();
    assert!(model.milli >= 290_000, "{model:?}");
}

#[test]
fn a_release_that_changes_nothing_costs_one_try_and_no_lateness() {
    let mut plant = Plant::new(24, 4, 3000);
    plant.run(30);
    plant.load(1500);
    plant.run(60);
    release(&mut plant, 200);
    plant.poll();
    let mut late = 0;
    let mut actions = Vec::new();
    for _ in 0..240 {
        let decision = plant.poll();
        actions.extend(scale(&decision));
        late = late.max(decision.facts.delay.unwrap().as_secs());
    }
    assert!(actions.len() <= 2, "{actions:?}");
    assert!(late <= 60, "{late}");
    assert!(
        plant
            .capacity()
            .is_some_and(|each| (190..=205).contains(&each))
    );
    assert_eq!(plant.world.replicas, 8);
}

#[test]
fn nothing_goes_down_while_a_partition_is_not_known_and_what_was_seen_before_is_no_evidence() {
    let mut plant = Plant::new(24, 4, 2100);
    plant.run(60);
    plant.load(500);
    let known = plant.world.partitions[7].log_end;
    for _ in 0..60 {
        plant.world.partitions[7].log_end = None;
        plant.arrivals[7] = 0;
        let decision = plant.world.poll();
        assert_eq!(hold(&decision), Some(HoldReason::LagUnknown));
    }
    let Commit::At(committed) = plant.world.partitions[7].committed else {
        panic!("a commit")
    };
    plant.world.partitions[7].log_end = known.map(|end| end.max(committed));
    let back = plant.world.now;
    while scale(&plant.poll()).is_none() {}
    assert!(plant.world.now.duration_since(back) >= secs(120));
}

#[test]
fn after_a_restart_the_model_is_kept_and_nothing_goes_down_before_the_window_is_covered() {
    let mut plant = Plant::new(24, 4, 2100);
    plant.run(60);
    plant.load(700);
    plant.run(4);
    let model = plant.world.state.memory.model.clone();
    plant.world.restart();
    assert_eq!(plant.world.state.memory.model, model);
    assert!(model.capacity.is_some_and(|c| c.measured));
    let started = plant.world.now;
    while scale(&plant.poll()).is_none() {}
    assert!(plant.world.now.duration_since(started) >= secs(120));
}

#[test]
fn a_bottleneck_that_lies_too_far_in_the_future_is_cut_to_the_longest_back_off() {
    let mut world = World::new(6, 3);
    world.policy.objective = Objective::MaxDelay(secs(60));
    let ahead = world.now.checked_add(secs(40 * 86_400)).unwrap();
    world.state.memory.model = CapacityModel {
        bottleneck: Some(Bottleneck {
            replicas: 3,
            milli: 1000,
            until: ahead,
        }),
        ..CapacityModel::default()
    };
    world.poll();
    let until = world.state.memory.model.bottleneck.unwrap().until;
    assert!(until.duration_since(world.now) <= secs(14_400));
}

#[test]
fn a_group_that_sleeps_wakes_for_a_record() {
    let mut world = World::new(6, 1);
    world.policy.objective = Objective::MaxDelay(secs(60));
    world.policy.min = 0;
    assert_eq!(world.until_action(60), Some((1, 0)));
    world.flow(60, 0);
    let decision = world.until_action(10);
    assert_eq!(decision, Some((0, 1)));
}

/// KEEP-26: a fixed number of bytes for each partition and each group, however long it runs.
#[test]
fn history_stays_within_its_bytes() {
    let mut plant = Plant::new(12, 6, 1000);
    plant.world.policy.objective = Objective::MaxDelay(secs(86_400));
    plant.run(2000);
    let bytes = plant.world.state.history.consumption.bytes();
    // 10,000 groups of 12 partitions within 256 MiB.
    assert!(bytes < 256 * 1024 * 1024 / 10_000, "{bytes}");
    let mut wide = Plant::new(960, 6, 1920);
    wide.run(400);
    let bytes = wide.world.state.history.consumption.bytes();
    assert!(bytes < 960 * 1300, "{bytes}");
}

#[test]
fn a_pacing_shorter_than_the_built_in_one_does_not_hurry_it() {
    let mut plant = Plant::new(24, 2, 3000);
    plant.world.policy.pacing.min_interval = secs(1);
    plant.world.policy.pacing.min_scale_down_interval = secs(1);
    let mut last: Option<(Timestamp, bool)> = None;
    for poll in 0..200 {
        if poll == 60 {
            plant.load(600);
        }
        let Some((from, to)) = scale(&plant.poll()) else {
            continue;
        };
        let least = if to > from { secs(30) } else { secs(120) };
        let now = plant.world.now;
        assert!(last.is_none_or(|(at, _)| now.duration_since(at) >= least));
        last = Some((now, to < from));
    }
    assert!(
        last.is_some_and(|(_, down)| down),
        "it went up and came down"
    );
}

#[test]
fn consumers_that_all_stand_still_are_an_outage_and_nobody_is_taken_away() {
    let mut plant = Plant::new(24, 4, 2100);
    plant.run(60);
    let before = plant.world.replicas;
    assert!(before >= 12 && plant.capacity() == Some(200));
    plant.rate = 0;
    for _ in 0..80 {
        let decision = plant.poll();
        assert_eq!(scale(&decision).filter(|(from, to)| to < from), None);
    }
    // An operator that starts during the outage does not scale down either.
    plant.world.restart();
    for _ in 0..40 {
        let decision = plant.poll();
        assert_eq!(scale(&decision).filter(|(from, to)| to < from), None);
    }
    assert!(plant.world.replicas >= before);
}

#[rstest]
#[case(20)]
#[case(60)]
#[case(120)]
fn commits_that_are_rare_show_no_wrong_capacity(#[case] commits: i64) {
    let mut plant = Plant::new(12, 6, 600);
    plant.world.policy.objective = Objective::MaxDelay(secs(600));
    plant.commits = commits;
    // They keep up: nothing is measured.
    plant.run(40);
    assert_eq!(plant.capacity(), None);
    // They do not keep up: their capacity is measured between commits.
    plant.load(2100);
    plant.run(80);
    let capacity = plant.capacity().unwrap();
    assert!((190..=210).contains(&capacity), "{capacity}");
}

#[test]
fn idle_hours_make_no_partition_stuck_and_hide_none_that_is() {
    let mut plant = Plant::new(24, 6, 480);
    plant.run(40);
    plant.load(0);
    plant.run(400);
    plant.load(480);
    for _ in 0..8 {
        assert_eq!(plant.poll().facts.stuck_partitions, []);
    }
    plant.stuck = Some(3);
    plant.run(16);
    let stuck = plant.poll().facts.stuck_partitions;
    assert_eq!(stuck, [(Arc::from("orders"), 3)]);
}

#[test]
fn a_partition_that_nobody_reads_buys_no_replicas_for_ever() {
    let mut plant = Plant::new(12, 2, 240);
    plant.run(20);
    plant.world.partitions[7].owner = None;
    plant.stuck = Some(7);
    plant.run(40);
    // For six minutes it may be a new partition that is about to get an owner; replicas added for
    // it are removed again.
    plant.run(200);
    for _ in 0..200 {
        plant.poll();
        assert!(plant.world.replicas <= 2, "what is read takes no more");
    }
    let named = plant.poll().facts.stuck_partitions;
    assert_eq!(named, [(Arc::from("orders"), 7)]);
}

#[test]
fn a_transaction_marker_is_neither_lag_nor_stuck() {
    let mut world = World::new(6, 2);
    world.policy.objective = Objective::MaxDelay(secs(20));
    world.policy.may_hold_markers = true;
    world.flow(600, 600);
    world.poll();
    for partition in &mut world.partitions {
        partition.log_end = partition.log_end.map(|end| end + 1);
    }
    for _ in 0..40 {
        let decision = world.poll();
        assert_eq!(decision.facts.delay, Some(SignedDuration::ZERO));
        assert_eq!(decision.facts.stuck_partitions, []);
        assert_eq!(scale(&decision).filter(|(from, to)| to > from), None);
    }
}

#[test]
fn a_log_that_was_cut_begins_anew() {
    let mut plant = Plant::new(6, 2, 240);
    plant.run(30);
    for (partition, read) in plant.world.partitions.iter_mut().zip(&mut plant.read) {
        partition.log_end = Some(100);
        partition.committed = Commit::At(100);
        *read = 100;
    }
    plant.run(4);
    let delay = plant.poll().facts.delay.unwrap();
    assert!(delay < secs(30), "{delay:?}");
}

#[test]
fn a_backlog_without_arrivals_is_no_older_than_what_is_certain() {
    let mut plant = Plant::new(6, 2, 0);
    for partition in &mut plant.world.partitions {
        partition.log_end = Some(20_000);
    }
    plant.run(2);
    let decision = plant.poll();
    assert_eq!(decision.facts.delay, Some(secs(30)));
}

#[test]
fn records_that_expire_unread_teach_nothing_about_the_consumers() {
    let mut plant = Plant::new(12, 2, 1200);
    plant.world.policy.objective = Objective::MaxDelay(secs(600));
    plant.world.policy.max = Some(2);
    plant.run(100);
    assert_eq!(plant.capacity(), Some(200));
    // Ten minutes are kept, in segments of one.
    for poll in 0..80 {
        for (partition, read) in plant.world.partitions.iter_mut().zip(&mut plant.read) {
            if poll % 4 == 0 {
                let kept = partition.log_end.unwrap() - 100 * 600;
                partition.log_start = partition.log_start.max(Some(kept));
                *read = (*read).max(kept);
            }
        }
        plant.poll();
        let each = plant.capacity().unwrap();
        assert!((190..=210).contains(&each), "{each} after {poll} looks");
    }
}
