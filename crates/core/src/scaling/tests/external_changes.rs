//! Actions of users and other controllers on the target: pauses, manual zero, external changes. The
//! operator's own actions are not mistaken for them.

use super::*;
use crate::scaling::input::policy::Pause;
use crate::scaling::output::decision::Notice;

/// ACT-8.
#[test]
fn zero_by_hand_disables_scaling_and_zero_by_the_operator_is_undone() {
    let mut world = World::new(6, 2);
    world.poll();
    world.resize(0);
    assert_eq!(hold(&world.poll()), Some(HoldReason::ScalingDisabled));
    world.set_lag(100_000);
    for _ in 0..40 {
        assert_eq!(hold(&world.poll()), Some(HoldReason::ScalingDisabled));
    }

    let mut world = World::new(6, 2);
    world.policy.pauses.pause = Some(Pause::At(0));
    assert_eq!(world.until_action(20), Some((2, 0)));
    for _ in 0..20 {
        assert_eq!(hold(&world.poll()), Some(HoldReason::Paused));
    }
    world.policy.pauses.pause = None;
    let removed = world.now;
    assert_eq!(world.until_action(10), Some((0, 1)));
    assert!(
        world.now.duration_since(removed) >= secs(30),
        "taking the annotation away counts as an action"
    );
}

#[test]
fn pauses_hold_under_load_and_end_when_removed() {
    let mut world = World::new(6, 1).lag(50_000);
    world.policy.pauses.no_scale_out = true;
    for _ in 0..10 {
        assert_eq!(hold(&world.poll()), Some(HoldReason::Paused));
    }
    world.policy.pauses = Pauses {
        pause: Some(Pause::AtCurrentSize),
        ..Pauses::default()
    };
    for _ in 0..10 {
        assert_eq!(hold(&world.poll()), Some(HoldReason::Paused));
    }
    world.policy.pauses = Pauses {
        no_scale_in: true,
        ..Pauses::default()
    };
    assert_eq!(world.until_action(4), Some((1, 6)));
    world.set_lag(0);
    assert_eq!(world.until_action(60), None);
    assert_eq!(hold(&world.poll()), Some(HoldReason::Paused));
    world.policy.pauses = Pauses::default();
    assert_eq!(world.until_action(4), Some((6, 3)));
}

#[test]
fn an_unknown_pause_value_pauses_and_is_quoted() {
    let mut world = World::new(6, 1).lag(50_000);
    let pause = Pause::NotUnderstood {
        annotation: "lagrange.dev/paused".into(),
        value: "yes".into(),
    };
    world.policy.pauses.pause = Some(pause);
    let decision = world.poll();
    assert_eq!(hold(&decision), Some(HoldReason::Paused));
    assert_eq!(
        decision.trail.to_string(),
        "annotation lagrange.dev/paused: \"yes\" is not understood, so paused"
    );
}

/// ACT-7.
#[test]
fn external_changes_count_as_actions_and_three_of_them_contest_the_target() {
    let mut world = World::new(24, 4).lag(4000);
    world.poll();
    world.resize(6);
    let decision = world.after(5);
    assert_eq!(
        decision.notices,
        [Notice::ScaledExternally { from: 4, to: 6 }]
    );
    world.set_lag(100_000);
    assert_eq!(scale(&world.after(5)), None, "too soon after it");
    world.resize(5);
    world.after(5);
    world.resize(7);
    let decision = world.after(5);
    let until = match decision.verdict {
        Verdict::Hold(wait) if wait.why == HoldReason::TargetContested => wait.until.unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(until.duration_since(world.now), secs(1800));
    assert_eq!(world.until_action(118), None);
    assert_eq!(world.until_action(6), Some((7, 24)));
}

#[test]
fn a_delayed_watch_does_not_make_an_own_change_external() {
    let mut world = World::new(6, 1).lag(50_000);
    world.poll();
    let decision = world.poll();
    let Verdict::Scale { from, to, .. } = decision.verdict else {
        panic!("{decision:#?}")
    };
    world.state.memory = world.state.memory.begin(from, to, world.now).confirm();
    let decision = world.after(1);
    assert_eq!(hold(&decision), Some(HoldReason::Settling));
    assert_eq!(decision.notices, []);
    world.resize(to);
    assert_eq!(world.after(1).notices, []);
    // Now it has been seen; another change back is an external change.
    world.resize(1);
    assert_eq!(
        world.after(1).notices,
        [Notice::ScaledExternally { from: 6, to: 1 }]
    );
}

/// ACT-1.
#[test]
fn an_action_with_an_unknown_outcome_counts_as_an_action() {
    let mut world = World::new(6, 1).lag(50_000);
    world.poll();
    let decision = world.poll();
    let Verdict::Scale { from, to, .. } = decision.verdict else {
        panic!("{decision:#?}")
    };
    world.state.memory = world.state.memory.begin(from, to, world.now);
    let acted = world.now;
    // Killed between writing the action down and doing it.
    world.restart();
    assert_eq!(world.until_action(60), Some((1, 6)));
    assert!(world.now.duration_since(acted) >= secs(30));
}

#[test]
fn a_dry_run_next_to_another_autoscaler_is_not_contested() {
    let mut world = World::new(24, 4).lag(4000);
    world.policy.dry_run = true;
    world.poll();
    for size in [5, 6, 7, 8] {
        world.resize(size);
        assert_ne!(hold(&world.after(5)), Some(HoldReason::TargetContested));
    }
}

#[test]
fn a_new_target_of_another_size_is_not_an_external_change() {
    let mut world = World::new(6, 5);
    world.poll();
    world.policy.measurement_key = 2;
    world.resize(2);
    assert_eq!(world.poll().notices, []);
    assert_eq!(world.state.memory.external, []);
}

#[test]
fn a_pause_does_not_reenable_a_target_that_was_scaled_to_zero_by_hand() {
    let mut world = World::new(6, 2);
    world.poll();
    world.resize(0);
    world.poll();
    world.policy.pauses.pause = Some(Pause::At(3));
    world.poll();
    world.policy.pauses.pause = None;
    for _ in 0..60 {
        assert_eq!(hold(&world.poll()), Some(HoldReason::ScalingDisabled));
    }
}

#[test]
fn a_new_resource_reports_no_external_change_for_an_action_that_was_never_done() {
    let mut world = World::new(6, 1).lag(50_000);
    world.poll();
    let decision = world.poll();
    let Verdict::Scale { from, to, .. } = decision.verdict else {
        panic!("{decision:#?}")
    };
    world.state.memory = world.state.memory.begin(from, to, world.now).unknown();
    // It was never carried out, and that is known by now.
    world.after(11);
    world.state = State::after_restart(world.state.memory.take_over_action());
    assert_eq!(world.poll().notices, []);
}
