//! Groups: their coordinator, state, members and commits.

use std::time::Duration;

use lagrange_core::intent::topics::TopicSelection;
use rstest::rstest;

use super::double::{Double, FakeGroup, Mood};
use super::rig::{Rig, committed, member, t};
use crate::kafka::model::error::{ReadError, Resource};
use crate::kafka::model::snapshot::{GroupState, NodeId, Protocol, Snapshot};
use crate::kafka::pool::Settings;

fn state(snapshot: &Snapshot) -> Result<GroupState, ReadError> {
    snapshot.groups["g"].state.clone()
}

/// The poll that read the description, if there is one.
fn described(snapshot: &Snapshot) -> Option<u64> {
    let description = snapshot.groups["g"].description.as_ref()?;
    Some(description.as_ref().ok()?.poll)
}

#[tokio::test(start_paused = true)]
async fn a_group_in_no_list_has_the_state_that_its_coordinator_reports() {
    let double = Double::new(2);
    double.change_group(|group| group.listed.clear());
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    let snapshot = rig.poll(&watch).await;
    assert_eq!(state(&snapshot), Ok(GroupState::Empty));
    assert_eq!(snapshot.groups["g"].coordinator, Some(NodeId(1)));
    assert_eq!(committed(&snapshot), vec![Ok(Some(7)); 2]);
    double.take_asked("describe");
    rig.poll(&watch).await;
    assert_eq!(
        double.take_asked("describe"),
        1,
        "only at the broker that knew it"
    );
}

#[tokio::test(start_paused = true)]
async fn a_group_that_no_broker_reports_is_unknown_and_not_gone() {
    let double = Double::new(2);
    double.change_group(|group| {
        group.listed.clear();
        group.coordinator = 0;
    });
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    for _ in 0..5 {
        let snapshot = rig.poll(&watch).await;
        assert_eq!(state(&snapshot), Err(ReadError::NotListed));
        assert_eq!(committed(&snapshot), vec![Err(ReadError::NotListed); 2]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_that_never_existed_is_dead_after_two_polls() {
    let double = Double::new(2);
    double.change(|world| world.groups.clear());
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    let first = rig.poll(&watch).await;
    assert_eq!(state(&first), Err(ReadError::NotListed));
    assert_eq!(committed(&first), vec![Err(ReadError::NotListed); 2]);
    let second = rig.poll(&watch).await;
    assert_eq!(state(&second), Ok(GroupState::Dead));
    assert_eq!(committed(&second), vec![Ok(None); 2]);
    assert_eq!(second.groups["g"].coordinator, Some(NodeId(2)));
}

/// Until the first consumer asks for its coordinator, there is none, and no topic of offsets.
#[tokio::test(start_paused = true)]
async fn a_cluster_in_which_nothing_was_ever_committed_has_no_groups() {
    let double = Double::new(2);
    double.change_group(|group| {
        group.listed.clear();
        group.coordinator = 0;
    });
    double.change(|world| world.is_uncommitted = true);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    let first = rig.poll(&watch).await;
    assert_eq!(state(&first), Err(ReadError::NotListed));
    let second = rig.poll(&watch).await;
    assert_eq!(state(&second), Ok(GroupState::Dead));
    assert_eq!(committed(&second), vec![Ok(None); 2]);
}

/// A broker that does not answer may know the topic of offsets.
#[tokio::test(start_paused = true)]
async fn a_silent_broker_leaves_open_whether_anything_was_committed() {
    let double = Double::new(2);
    double.change_group(|group| {
        group.listed.clear();
        group.coordinator = 0;
    });
    double.change(|world| {
        world.is_uncommitted = true;
        world.brokers.insert(3, Mood::Silent);
    });
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    for _ in 0..5 {
        let snapshot = rig.poll(&watch).await;
        assert!(state(&snapshot).is_err(), "{:?}", state(&snapshot));
        assert!(committed(&snapshot).iter().all(Result::is_err));
    }
}

#[tokio::test(start_paused = true)]
async fn two_polls_in_a_second_do_not_make_a_known_group_dead() {
    let double = Double::new(2);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    rig.poll(&watch).await;
    let group = double.change(|world| world.groups.remove("g")).unwrap();
    // The answer of a coordinator that has taken over and not caught up (`commits`).
    for _ in 0..3 {
        watch.poll_now();
        let snapshot = rig.poll(&watch).await;
        assert_eq!(state(&snapshot), Err(ReadError::NotListed));
        assert!(committed(&snapshot).iter().all(Result::is_err));
    }
    double.change(|world| world.groups.insert("g".to_owned(), group));
    watch.poll_now();
    let snapshot = rig.poll(&watch).await;
    assert_eq!(state(&snapshot), Ok(GroupState::Empty));
    assert_eq!(committed(&snapshot), vec![Ok(Some(7)); 2]);
    double.change(|world| world.groups.remove("g"));
    rig.poll(&watch).await;
    rig.poll(&watch).await;
    let snapshot = rig.poll(&watch).await;
    assert_eq!(state(&snapshot), Ok(GroupState::Dead), "reported for 30 s");
    assert_eq!(committed(&snapshot), vec![Ok(None); 2]);
}

#[tokio::test(start_paused = true)]
async fn a_lower_commit_is_unknown_until_it_lasts() {
    let double = Double::new(1);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    let commit = |offset| {
        double.change_group(|group| {
            group.committed.insert(("t".to_owned(), 0), offset);
        });
    };
    rig.poll(&watch).await;
    commit(3);
    let back = ReadError::CommittedWentBack {
        from: 7,
        to: Some(3),
    };
    assert_eq!(committed(&*rig.poll(&watch).await), [Err(back.clone())]);
    assert_eq!(committed(&*rig.poll(&watch).await), [Err(back)]);
    assert_eq!(
        committed(&*rig.poll(&watch).await),
        [Ok(Some(3))],
        "after 20 s"
    );
}

#[tokio::test(start_paused = true)]
async fn a_lower_commit_is_unknown_also_after_a_poll_without_topics() {
    let double = Double::new(1);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(TopicSelection::OfGroup);
    assert_eq!(committed(&*rig.poll(&watch).await), [Ok(Some(7))]);
    double.change_group(|group| {
        group.state = Some(GroupState::PreparingRebalance);
        group.members = vec![member("m", &[])];
    });
    assert_eq!(committed(&*rig.poll(&watch).await), []);
    double.change_group(|group| {
        group.state = Some(GroupState::Stable);
        group.members = vec![member("m", &[0])];
        group.committed.insert(("t".to_owned(), 0), 3);
    });
    let back = ReadError::CommittedWentBack {
        from: 7,
        to: Some(3),
    };
    assert_eq!(committed(&*rig.poll(&watch).await), [Err(back)]);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_may_not_be_described_has_that_error() {
    let double = Double::new(1);
    let denied = ReadError::Authorization {
        resource: Resource::Group("g".into()),
    };
    double.change_group(|group| {
        group.listed.clear();
        group.error = Some(denied.clone());
    });
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    let snapshot = rig.poll(&watch).await;
    assert_eq!(state(&snapshot), Err(denied.clone()));
    assert_eq!(committed(&snapshot), [Err(denied)]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_coordinator_makes_its_groups_unknown_and_no_others() {
    let double = Double::new(3);
    double.group("h", 2, 3);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    let _other = rig.watch_as("h", super::rig::interest("h", t(), 15));
    rig.poll(&watch).await;
    rig.poll(&watch).await;
    double.mood(1, Mood::Silent);
    let snapshot = rig.poll(&watch).await;
    assert_eq!(state(&snapshot), Err(ReadError::CoordinatorUnavailable));
    let unknown = Err(ReadError::CoordinatorUnavailable);
    assert_eq!(committed(&snapshot), vec![unknown; 3]);
    assert_eq!(
        described(&snapshot),
        Some(1),
        "the last known members are kept"
    );
    let other = &snapshot.groups["h"];
    assert_eq!(other.state, Ok(GroupState::Empty));
    assert!(other.committed.values().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn a_group_in_two_lists_is_read_where_it_is_now() {
    let double = Double::new(2);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    rig.poll(&watch).await;
    for (coordinator, old) in [(3, 1), (3, 2), (1, 3)] {
        double.change_group(|group| {
            group.coordinator = coordinator;
            group.listed = vec![old, coordinator];
        });
        let snapshot = rig.poll(&watch).await;
        assert_eq!(
            committed(&snapshot),
            vec![Ok(Some(7)); 2],
            "{old} to {coordinator}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn members_are_read_at_first_and_then_every_two_minutes() {
    let double = Double::new(2);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    let mut polls = Vec::new();
    for _ in 0..18 {
        polls.push(described(&*rig.poll(&watch).await).unwrap());
    }
    // Every two minutes, which is 8 polls of 15 s.
    polls.dedup();
    assert_eq!(polls, [1, 9, 17]);
}

#[rstest]
#[case::state(|group: &mut FakeGroup| group.state = Some(GroupState::Stable))]
#[case::protocol(|group: &mut FakeGroup| group.protocol = Protocol::Consumer)]
#[tokio::test(start_paused = true)]
async fn members_are_read_when_the_list_shows_a_change(#[case] change: fn(&mut FakeGroup)) {
    let double = Double::new(2);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    rig.poll(&watch).await;
    assert_eq!(described(&*rig.poll(&watch).await), Some(1));
    double.change_group(change);
    assert_eq!(described(&*rig.poll(&watch).await), Some(3));
    assert_eq!(described(&*rig.poll(&watch).await), Some(3));
}

#[tokio::test(start_paused = true)]
async fn members_are_read_in_each_poll_while_a_watch_asks_for_it() {
    let double = Double::new(2);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    rig.poll(&watch).await;
    watch.describe_members(true);
    for poll in 2..5 {
        assert_eq!(described(&*rig.poll(&watch).await), Some(poll));
    }
    watch.describe_members(false);
    assert_eq!(described(&*rig.poll(&watch).await), Some(4));
}

#[tokio::test(start_paused = true)]
async fn a_rebalance_of_kip_848_has_no_name_on_the_wire() {
    let double = Double::new(2);
    double.change_group(|group| {
        group.protocol = Protocol::Consumer;
        group.state = None;
        group.members = vec![member("m", &[0])];
    });
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    assert_eq!(state(&*rig.poll(&watch).await), Ok(GroupState::Reconciling));
}

#[tokio::test(start_paused = true)]
async fn a_state_that_is_not_reported_is_unknown() {
    let double = Double::new(2);
    double.change_group(|group| group.state = None);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    assert!(matches!(
        state(&*rig.poll(&watch).await),
        Err(ReadError::Other(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_new_broker_is_asked_for_its_groups_in_the_same_poll() {
    let double = Double::new(2);
    let mut rig = Rig::new(&double, Settings::default());
    let watch = rig.watch(t());
    rig.poll(&watch).await;
    double.mood(4, Mood::Answers);
    double.change_group(|group| {
        group.coordinator = 4;
        group.listed = vec![4];
    });
    let snapshot = rig.poll(&watch).await;
    assert_eq!(snapshot.groups["g"].coordinator, Some(NodeId(4)));
    assert_eq!(committed(&snapshot), vec![Ok(Some(7)); 2]);
    assert_eq!(snapshot.brokers.len(), 4);
    // Every poll records when its answers came.
    assert!(snapshot.groups["g"].committed_at <= snapshot.finished);
    assert!(
        snapshot.finished.duration_since(snapshot.started)
            < Duration::from_secs(1).try_into().unwrap()
    );
}
