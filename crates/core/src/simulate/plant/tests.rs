//! Tests of the parts of the plant, and of properties of every run.

use proptest::prelude::*;
use rstest::rstest;

use super::parameters::Downstream;
use super::*;

/// Partitions of some topics; all exist and are known.
pub(in crate::simulate::plant) fn partitions(topics: &[(&str, u32)]) -> List<Partition> {
    let mut list = List::new();
    for (topic, count) in topics {
        for number in 0..*count {
            list.push::<PartitionAt>(Partition::new((*topic).into(), number, true));
        }
    }
    list
}

/// This number of consumers, and their places.
pub(in crate::simulate::plant) fn consumers(count: usize) -> (List<Consumer>, Vec<ConsumerAt>) {
    let mut list = List::new();
    let places = (0..count).map(|place| {
        list.push(Consumer {
            id: format!("{place:03}"),
            speed: 100.0,
            drift: 0.0,
            warm_at: 0,
            running: true,
            partitions: Vec::new(),
            moving: Vec::new(),
            next_commit: 0,
            expires: None,
            budget: 0.0,
            processed: 0.0,
            busy: 0.0,
            rate: 0.0,
        })
    });
    let places = places.collect();
    (list, places)
}

/// Identical consumers, pods that take 10 s, and even arrivals.
fn even(assignor: Assignor) -> Parameters {
    Parameters {
        topics: [("orders".to_owned(), 6)].into(),
        assignor,
        noise: 0.0,
        scatter: false,
        consumer_rate: 200.0,
        consumer_spread: 0.0,
        consumer_noise: 0.0,
        start_seconds: (10.0, 10.0, 10.0),
        ..Parameters::default()
    }
}

fn load(rate: f64) -> Load {
    Load::parse(&format!("0,{rate}\n3600,{rate}\n")).unwrap()
}

fn stopped(plant: &Plant<'_>) -> usize {
    plant
        .partitions
        .iter()
        .filter(|p| p.owner.is_none())
        .count()
}

/// Seconds in which any partition, and in which all of them, stood still after a third replica was
/// added.
#[rstest]
#[case::range_stops_all(Assignor::Range, 6, 6)]
#[case::roundrobin_too(Assignor::RoundRobin, 6, 6)]
#[case::sticky_too(Assignor::Sticky, 6, 6)]
#[case::cooperative_half_of_it_for_what_moves(Assignor::CooperativeSticky, 3, 0)]
#[case::kip_848_sooner(Assignor::Uniform, 2, 0)]
fn a_rebalance_stops_what_its_protocol_stops(
    #[case] assignor: Assignor,
    #[case] some: usize,
    #[case] all: usize,
) {
    let (parameters, load) = (even(assignor), load(300.0));
    let mut plant = Plant::new(&parameters, &load, 1, 2, 60, 1);
    plant.run_to(60);
    plant.scale(3);
    let mut stops = Vec::new();
    while plant.now() < 120 {
        plant.run_to(plant.now() + 1);
        stops.push(stopped(&plant));
    }
    assert_eq!(stops.iter().filter(|n| **n > 0).count(), some, "{stops:?}");
    assert_eq!(stops.iter().filter(|n| **n == 6).count(), all, "{stops:?}");
    assert_eq!(plant.score().rebalances, 1);
    let theirs = plant
        .members
        .iter()
        .map(|m| plant.consumers[*m].partitions.len());
    assert!(theirs.eq([2, 2, 2]));
}

#[rstest]
#[case::range(Assignor::Range, 0.8)]
#[case::cooperative(Assignor::CooperativeSticky, 0.95)]
#[case::kip_848(Assignor::Uniform, 1.3)]
fn measured_pauses_end_and_are_about_as_long_or_shorter(
    #[case] assignor: Assignor,
    #[case] most: f64,
) {
    let measured = Parameters {
        measured: true,
        ..even(assignor)
    };
    let (rule, load) = (even(assignor), load(300.0));
    let stall = |parameters: &Parameters| {
        let mut plant = Plant::new(parameters, &load, 1, 2, 60, 1);
        for (place, replicas) in (0..20).zip([3, 2].into_iter().cycle()) {
            plant.run_to(100 + 100 * place);
            plant.scale(replicas);
        }
        plant.run_to(2200);
        assert_eq!(stopped(&plant), 0);
        plant.score().stall_seconds
    };
    let (short, long) = (stall(&measured), stall(&rule));
    assert!(short > 0.0 && short < most * long, "{short} s and {long} s");
}

#[test]
fn a_consumer_that_leaves_without_a_word_is_missed_after_its_session_and_its_work_is_done_again() {
    let parameters = Parameters {
        leaves_group: false,
        commit_interval_seconds: 60,
        ..even(Assignor::Range)
    };
    let load = load(300.0);
    let mut plant = Plant::new(&parameters, &load, 1, 3, 60, 1);
    plant.run_to(63);
    plant.scale(2);
    plant.run_to(63 + 44);
    assert_eq!(plant.members.len(), 3, "its session has 45 s");
    assert!(plant.score().read_again > 0.0);
    plant.run_to(63 + 60);
    assert_eq!(plant.members.len(), 2);
    assert_eq!(stopped(&plant), 0);
    assert!(plant.score().max_delay_seconds > 45);
}

#[test]
fn added_partitions_are_read_from_their_beginning_once_they_are_found() {
    let parameters = Parameters {
        expansions: vec![parameters::Expansion {
            at: 100,
            topic: "orders".to_owned(),
            partitions: 12,
        }],
        ..even(Assignor::CooperativeSticky)
    };
    let load = load(300.0);
    let mut plant = Plant::new(&parameters, &load, 1, 3, 60, 1);
    plant.run_to(130);
    let view = plant.poll(0.0);
    let partitions = view.line.topics["orders"].partitions.as_ref().unwrap();
    assert_eq!(partitions.len(), 12, "Kafka shows them at once");
    assert_eq!(stopped(&plant), 6);
    plant.run_to(500);
    assert_eq!(stopped(&plant), 0);
    assert!(plant.sample().lag < 1.0);
}

#[test]
fn what_is_stuck_makes_no_progress_and_is_not_held_against_anybody() {
    let parameters = Parameters {
        stuck: vec![parameters::Stuck {
            topic: "orders".to_owned(),
            partition: 2,
            from: 100,
            to: 1000,
        }],
        ..even(Assignor::Range)
    };
    let load = load(300.0);
    let mut plant = Plant::new(&parameters, &load, 1, 3, 60, 1);
    plant.run_to(900);
    let lag: Vec<f64> = plant.partitions.iter().map(Partition::unread).collect();
    assert!(
        lag.iter()
            .enumerate()
            .all(|(p, lag)| (*lag > 1000.0) == (p == 2)),
        "{lag:?}"
    );
    assert_eq!(plant.score().late_seconds, 0);
    plant.run_to(1500);
    assert!(plant.sample().lag < 1.0);
}

#[test]
fn what_all_consumers_share_caps_them_together() {
    let parameters = Parameters {
        downstream: vec![Downstream {
            at: 0,
            rate: Some(200.0),
        }],
        ..even(Assignor::Range)
    };
    let load = load(300.0);
    let mut plant = Plant::new(&parameters, &load, 1, 6, 60, 1);
    plant.run_to(1000);
    let lag = plant.sample().lag;
    assert!((lag - 100.0 * 1000.0).abs() < 1000.0, "{lag}");
}

#[test]
fn a_replica_of_several_threads_brings_as_many_members() {
    let (parameters, load) = (even(Assignor::Range), load(900.0));
    let mut plant = Plant::new(&parameters, &load, 3, 1, 60, 1);
    plant.run_to(60);
    plant.scale(2);
    plant.run_to(120);
    let view = plant.poll(0.0);
    assert_eq!(view.line.workload.ready_replicas, 2);
    assert_eq!(view.line.group.unwrap().members.unwrap().len(), 6);
    let score = plant.score();
    assert_eq!(score.rebalances, 1, "they join at once");
}

#[test]
fn polls_are_hidden_late_or_partial_where_the_parameters_say_so() {
    let parameters = Parameters {
        outages: vec![parameters::Span { from: 50, to: 60 }],
        broker_outages: vec![parameters::BrokerOutage {
            from: 60,
            to: 70,
            broker: 1,
        }],
        offsets_per_record: 1.25,
        residual_lag: 40,
        ..even(Assignor::Range)
    };
    let load = load(300.0);
    let mut plant = Plant::new(&parameters, &load, 1, 3, 60, 1);
    plant.run_to(55);
    assert!(!plant.poll(0.0).line.kafka_ok);
    plant.run_to(65);
    let view = plant.poll(1000.0).line;
    assert!((view.t - 1065.0).abs() < 1e-9);
    let partitions = view.topics["orders"].partitions.as_ref().unwrap();
    let numbers: Vec<u32> = partitions.iter().map(|p| p.p).collect();
    assert_eq!(numbers, [0, 2, 3, 5]);
    // 50 records per second for 64 or 65 s, and the markers.
    let end = partitions[0].log_end.unwrap();
    assert!((3900..=4300).contains(&end), "{end}");
    plant.scale(2);
    let group = plant.poll(0.0).line.group.unwrap();
    assert_eq!(group.state, "PreparingRebalance");
    assert!(
        group
            .members
            .unwrap()
            .iter()
            .all(|m| m.assignment.is_empty())
    );
}

#[test]
fn a_backlog_waits_for_the_first_consumers() {
    let parameters = Parameters {
        consumers_from_seconds: 600,
        ..even(Assignor::Range)
    };
    let load = load(300.0);
    let mut plant = Plant::new(&parameters, &load, 1, 2, 60, 1);
    plant.run_to(601);
    let sample = plant.sample();
    assert_eq!((sample.replicas, sample.ready), (2, 2));
    assert!(sample.delay >= 598, "{sample:?}");
    // The arrivals need 300 of 400 records per second, and a little more with uneven partitions.
    plant.run_to(600 + 2900);
    assert!(plant.sample().delay <= 1, "{:?}", plant.sample());
}

#[test]
fn polls_of_other_autoscalers_change_nothing() {
    let (parameters, load) = (
        Parameters {
            scatter: true,
            ..even(Assignor::Range)
        },
        load(300.0),
    );
    let run = |polls: usize| {
        let mut plant = Plant::new(&parameters, &load, 1, 2, 60, 7);
        for t in 1..20 {
            plant.run_to(t * 10);
            (0..polls).for_each(|_| drop(plant.poll(0.0)));
        }
        plant.score()
    };
    assert_eq!(run(0), run(3));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn records_are_conserved_partitions_have_one_owner_and_a_seed_is_a_run(
        assignor in prop::sample::select(vec![
            Assignor::Range, Assignor::RoundRobin, Assignor::Sticky, Assignor::CooperativeSticky, Assignor::Uniform
        ]),
        leaves_group in any::<bool>(),
        measured in any::<bool>(),
        threads in 1_i32..4,
        sizes in prop::collection::vec(0_i32..9, 1..12),
        seed in 0_u64..1000,
    ) {
        let parameters = Parameters {
            topics: [("a".to_owned(), 5), ("b".to_owned(), 4)].into(),
            leaves_group, measured, scatter: true, noise: 0.1,
            start_seconds: (2.0, 10.0, 40.0),
            ..even(assignor)
        };
        let load = load(500.0);
        let run = || {
            let mut plant = Plant::new(&parameters, &load, threads, 3, 60, seed);
            for (replicas, turn) in sizes.iter().zip(1..) {
                plant.scale(*replicas);
                plant.run_to(turn * 37);
            }
            plant
        };
        let mut plant = run();
        let produced: f64 = plant.partitions.iter().map(|p| p.arrived).sum();
        let score = plant.score();
        let kept = score.records + score.left_over;
        // Less than a millionth of a record counts as zero.
        let counted: f64 = plant.tally.delays.iter().sum();
        prop_assert!(counted <= score.records + 1e-3, "{counted} were counted of {}", score.records);
        prop_assert!((produced - kept).abs() < 1e-3, "{produced} arrived, {kept} read or unread");
        for partition in plant.partitions.iter() {
            prop_assert!(partition.position <= partition.arrived + 1e-6);
            prop_assert!(partition.committed.unwrap_or(0.0) <= partition.arrived + 1e-6);
        }
        prop_assert_eq!(run().score(), score);

        // Without further changes the group settles: each partition has one live owner.
        let last = *sizes.last().unwrap();
        plant.run_to(plant.now() + 400);
        prop_assert!(plant.is_stable());
        let members = usize::try_from(last * threads).unwrap();
        prop_assert_eq!(plant.members.len(), members);
        let mut theirs: Vec<PartitionAt> = Vec::new();
        for member in &plant.members {
            theirs.extend(&plant.consumers[*member].partitions);
        }
        theirs.sort_unstable();
        theirs.dedup();
        let owned = if members == 0 { 0 } else { 9 };
        prop_assert_eq!(theirs.len(), owned);
        prop_assert_eq!(plant.pods.len(), usize::try_from(last).unwrap());
    }
}
