//! Two processes of one installation, and everything that ends or disturbs the leader: one process
//! writes at a time, no decision is written twice, and the other process takes over.
//!
//! `LAGRANGE_HANDOVERS` sets the number of hand-overs (`tests/soak.sh handovers`); the default is
//! 10. `LAGRANGE_HANDOVER_FAULTS` selects faults by their names, and `LAGRANGE_HANDOVER_LEASE` sets
//! the lease in seconds; the other durations keep their default ratio to it.

mod figures;
mod load;
mod pair;
mod proof;
mod restart;

use std::time::Duration;

use lagrange_testing::until::secs;
use serde_json::json;

use crate::stage::{Stage, now};
use figures::Figures;
use load::Load;
use pair::{Pair, Times};
use proof::{Proof, Stopped};

/// The number of hand-overs without `LAGRANGE_HANDOVERS`.
const HANDOVERS: usize = 10;
/// A second Deployment. Its ConsumerGroup is moved by its bounds, which need no lag, so each new
/// leader would act at once if its predecessor's last action did not count.
const BOUNDED: &str = "bounded";
/// The least seconds between two actions on it: longer than a take-over and the first polls.
const APART: i64 = 20;

/// What happens to the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// `kill -9`.
    Kill,
    /// SIGSTOP until another process leads, then SIGCONT.
    Stop,
    /// SIGTERM.
    Terminate,
    /// The API server is not reached.
    Partition,
    /// Requests reach the API server, and no answer comes back.
    Unanswered,
    /// The holder in the Lease is replaced by somebody.
    Replace,
    /// The holder in the Lease is removed.
    Remove,
    /// The Lease is deleted.
    Delete,
    /// The wall clock is set forward by an hour, or back again; then `kill -9`, and a start with
    /// that clock.
    Clock,
}

const FAULTS: [Fault; 9] = [
    Fault::Kill,
    Fault::Stop,
    Fault::Terminate,
    Fault::Partition,
    Fault::Delete,
    Fault::Clock,
    Fault::Unanswered,
    Fault::Replace,
    Fault::Remove,
];

/// The faults that `LAGRANGE_HANDOVER_FAULTS` names, else all.
fn faults() -> Vec<Fault> {
    let Ok(named) = std::env::var("LAGRANGE_HANDOVER_FAULTS") else {
        return FAULTS.into();
    };
    let is_named = |fault: &Fault| {
        let mut names = named.split(',');
        names.any(|name| name.eq_ignore_ascii_case(&format!("{fault:?}")))
    };
    let chosen: Vec<Fault> = FAULTS.into_iter().filter(is_named).collect();
    assert!(!chosen.is_empty(), "no fault has the name {named}");
    chosen
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_writes_whatever_happens_to_the_leader() {
    let stage = Stage::new("lead").await;
    let mut load = Load::set(&stage).await;
    let wanted = number("LAGRANGE_HANDOVERS").map_or(HANDOVERS, |n| usize::try_from(n).unwrap());
    let lease = secs(number("LAGRANGE_HANDOVER_LEASE").unwrap_or(3));
    let mut pair = Pair::start(&stage, Times::of(lease)).await;
    let mut figures = Figures::default();
    let mut proof = Proof::default();
    let disturb = async {
        for (round, fault) in faults().into_iter().cycle().enumerate() {
            if figures.handovers() >= wanted {
                break;
            }
            pair.until_both_stand().await;
            if round % 8 == 4 {
                load.turn().await;
            }
            // At any moment.
            tokio::time::sleep(Duration::from_millis(fastrand::u64(200..2_500))).await;
            let took = suffer(&mut pair, &mut proof, fault).await;
            println!("{} {fault:?} {took:.2?}", now());
            figures.add(fault, took);
        }
    };
    tokio::select! {
        () = load::move_bounds(&stage) => unreachable!("it never ends"),
        () = disturb => {}
    }
    pair.end();
    println!("{figures}");
    println!("{}", proof.check(&stage, pair.times()));
}

/// Does it to the leader, waits for what must follow, and starts again what has ended. Returns the
/// time until another process led, or until the Lease was there again.
async fn suffer(pair: &mut Pair<'_>, proof: &mut Proof, fault: Fault) -> Duration {
    let (leader, former) = pair.leader().await;
    let began = std::time::Instant::now();
    match fault {
        Fault::Kill => {
            pair.slot(leader).kill();
            pair.restart(leader);
            pair.until_follows(&former, began).await
        }
        Fault::Stop => {
            pair.slot(leader).signal("STOP");
            let took = pair.until_follows(&former, began).await;
            tokio::time::sleep(Duration::from_millis(fastrand::u64(..1_000))).await;
            let continued = now();
            pair.slot(leader).signal("CONT");
            pair.slot(leader).until_failed().await;
            proof.stopped(Stopped {
                account: leader,
                continued,
                ended: now(),
            });
            pair.restart(leader);
            took
        }
        Fault::Terminate => {
            pair.slot(leader).signal("TERM");
            let took = pair.until_follows(&former, began).await;
            pair.slot(leader).until_succeeded().await;
            pair.restart(leader);
            took
        }
        Fault::Partition | Fault::Unanswered => {
            pair.cut_off(leader, fault == Fault::Unanswered);
            let took = pair.until_follows(&former, began).await;
            pair.slot(leader).until_failed().await;
            pair.reconnect();
            pair.restart(leader);
            took
        }
        Fault::Replace | Fault::Remove => {
            let holder = if fault == Fault::Replace {
                json!(pair::SOMEBODY)
            } else {
                json!(null)
            };
            pair.edit_holder(&holder).await;
            pair.slot(leader).until_failed().await;
            pair.restart(leader);
            pair.until_follows(&former, began).await
        }
        Fault::Delete => {
            pair.delete_lease().await;
            let took = pair.until_back(&former, began).await;
            pair.holds_on(&former).await;
            took
        }
        Fault::Clock => {
            pair.slot(leader).set_clock().await;
            pair.holds_on(&former).await;
            let began = std::time::Instant::now();
            pair.slot(leader).kill();
            pair.restart(leader);
            pair.until_follows(&former, began).await
        }
    }
}
