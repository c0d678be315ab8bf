use super::*;
use crate::kafka::rdkafka::bounds::LARGEST_ANSWER;

const BOUNDS: Bounds = Bounds {
    brokers_per_cluster: 20,
    threads: 40,
    answer_bytes: 72 << 20,
};

fn table(clients: usize) -> Table {
    let mut table = Table::new();
    for number in 1..=clients {
        let client = Client {
            bounds: BOUNDS,
            brokers: 0,
            refused: BTreeSet::new(),
            why: None,
            reading: None,
        };
        table.clients.insert(number, client);
    }
    table
}

/// Admits as many of these brokers for a client as are allowed, and returns their number.
fn add(table: &mut Table, client: usize, ids: std::ops::Range<i32>) -> usize {
    let mut added = 0;
    for id in ids {
        if table.admit_broker(client, id) {
            table.threads += 1;
            added += 1;
        }
    }
    added
}

#[test]
fn a_cluster_gets_at_most_its_limit_of_brokers() {
    let mut table = table(1);
    assert_eq!(add(&mut table, 1, 0..50), 20);
    assert_eq!(table.clients[&1].why, Some(Why::Cluster));
    assert_eq!(table.clients[&1].refused.len(), 30);
    // One of them goes and another comes.
    table.thread_ended(1);
    assert_eq!(add(&mut table, 1, 50..60), 1);
    assert_eq!(
        add(&mut table, 1, -5..0),
        0,
        "no broker has a negative number"
    );
}

#[test]
fn the_last_quarter_of_threads_is_for_small_clusters() {
    let mut table = table(4);
    assert_eq!(add(&mut table, 1, 0..20), 20);
    assert_eq!(
        add(&mut table, 2, 0..20),
        16,
        "three quarters are used, and it is no longer small"
    );
    assert_eq!(table.clients[&2].why, Some(Why::Process));
    assert_eq!(add(&mut table, 3, 0..3), 3);
    assert_eq!(add(&mut table, 4, 0..3), 1, "all are used");
    // A client of another library is not limited.
    assert_eq!(add(&mut table, 9, 0..100), 100);
}

#[test]
fn a_thread_that_does_not_start_is_not_counted() {
    let mut table = table(1);
    for id in 0..100 {
        assert!(table.admit_broker(1, id));
        table.broker_not_added(1, id == 99);
    }
    assert_eq!(table.clients[&1].brokers, 0);
    assert_eq!(table.clients[&1].why, Some(Why::NoThread));
}

#[test]
fn all_answers_share_one_limit_of_memory() {
    let mut table = table(9);
    let now = Instant::now();
    let later = now + LINGER;
    let mut admit =
        |client, key, mib: usize, at| table.admit_frame(client, key, mib << 20, ALL_TOPICS, at);
    assert!(admit(1, 10, 6, now));
    assert!(admit(1, 10, 6, now), "it is admitted already");
    assert!(!admit(1, 11, 1, now), "a client has its quarter");
    assert!(admit(2, 20, 4, now));
    assert!(!admit(3, 30, 2, now), "the last quarter is for small ones");
    assert!(admit(3, 31, 1, now));
    assert!(admit(19, 1, 1_000, now), "a client of another library");
    table.frame_freed(10, now);
    assert!(
        table.admit_frame(1, 12, 5 << 20, ALL_TOPICS, now),
        "values of its own answers do not count against it"
    );
    table.frame_freed(12, now);
    let admit = |table: &mut Table, client, key, mib: usize, at| {
        table.admit_frame(client, key, mib << 20, ALL_TOPICS, at)
    };
    assert!(
        !admit(&mut table, 4, 40, 5, now),
        "values made from it exist"
    );
    assert!(
        !admit(&mut table, 3, 30, 3, later),
        "it was admitted before"
    );
    assert!(admit(&mut table, 4, 40, 5, later));
    assert_eq!(table.held, 50 << 20);
    if let Some(client) = table.clients.get_mut(&4) {
        client.reading = Some(1);
    }
    for key in [11, 20, 30, 31, 40] {
        table.frame_freed(key, later);
        table.frame_freed(key, later);
    }
    table.forget(later + LINGER);
    assert_eq!(table.held, 25 << 20, "of client 4, which still reads");
    table.clients.remove(&4);
    table.forget(later + LINGER);
    assert_eq!((table.held, table.frames.len()), (0, 0));
}

#[test]
fn the_largest_answer_depends_on_the_memory_for_its_values() {
    let table = table(1);
    let largest = |kind| table.largest_frame(1, kind);
    let of_reader = usize::try_from(LARGEST_ANSWER).unwrap();
    assert!(largest(ALL_TOPICS) > of_reader, "with the default");
    assert!(largest(16) > 2 << 20);
    assert!(largest(15) > 512 << 10);
    assert_eq!(largest(UNSOLICITED), 0);
    assert_eq!(table.largest_frame(2, UNSOLICITED), usize::MAX);
}
