//! The table of connections and their phases. It is bounded in total and per address, and makes
//! room for a new connection by closing another. Does no I/O.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Sockets beyond the bound: those that are being closed.
const CLOSING: usize = 32;

/// Least time between two log lines about the same problem.
const LOG_EVERY: Duration = Duration::from_mins(1);

/// Limits for clients.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    /// Connections at the same time.
    pub(super) connections: usize,
    /// Connections from one address.
    pub(super) per_peer: usize,
    /// From the first byte of a request, or from the start of the connection, to the end of the
    /// request's head.
    pub(super) head: Duration,
    /// Between two requests. Longer than a minute, which is the default interval of Prometheus;
    /// its scrapes share a connection.
    pub(super) idle: Duration,
    /// From the end of the head until the kernel has taken the whole response.
    pub(super) answer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 128,
            per_peer: 32,
            head: Duration::from_secs(5),
            idle: Duration::from_secs(90),
            answer: Duration::from_secs(30),
        }
    }
}

/// Phase of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The connection is new, or a part of a request has arrived.
    Head,
    /// The connection is kept open for another request.
    Idle,
    /// A request is being answered.
    Answer,
}

/// All connections. Clones share one table.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    limits: Limits,
    sockets: Arc<Semaphore>,
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    entries: BTreeMap<u64, Entry>,
    /// Connections that were closed for others and are not logged yet.
    closed: u64,
    logged: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    peer: IpAddr,
    phase: Phase,
    since: Instant,
    close: CancellationToken,
}

impl Connections {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            sockets: Arc::new(Semaphore::new(limits.connections + CLOSING)),
            limits,
            table: Arc::default(),
        }
    }

    /// A permit for one more socket. Waits only while too many sockets are being closed.
    pub(super) async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        self.sockets.clone().acquire_owned().await.ok()
    }

    /// Adds a connection, and closes another one if there are too many.
    pub(super) fn enter(&self, peer: IpAddr, permit: Option<OwnedSemaphorePermit>) -> Seat {
        let mut table = self.table();
        if table.of(peer) >= self.limits.per_peer {
            table.close_one_of(peer);
        } else if table.entries.len() >= self.limits.connections {
            table.close_one();
        }
        if let Some(closed) = table.news() {
            warn!(
                closed,
                connections = self.limits.connections,
                per_address = self.limits.per_peer,
                %peer,
                "too many connections to the port of /healthz, /readyz and /metrics: those that \
                 waited longest are closed; restrict the clients with a NetworkPolicy"
            );
        }
        let id = table.next;
        table.next += 1;
        let close = CancellationToken::new();
        let entry = Entry {
            peer,
            phase: Phase::Head,
            since: Instant::now(),
            close: close.clone(),
        };
        table.entries.insert(id, entry);
        drop(table);
        Seat {
            connections: self.clone(),
            id,
            peer,
            close,
            _permit: permit,
        }
    }

    /// Closes one connection, if there is any.
    pub(super) fn make_room(&self) {
        self.table().close_one();
    }

    /// Closes every connection.
    pub(super) fn close_all(&self) {
        for entry in self.table().entries.values() {
            entry.close.cancel();
        }
    }

    /// Whether the last log line is at least [`LOG_EVERY`] ago.
    pub(super) fn may_log(&self) -> bool {
        self.table().may_log()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table().entries.len()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn within(&self, phase: Phase) -> Duration {
        match phase {
            Phase::Head => self.limits.head,
            Phase::Idle => self.limits.idle,
            Phase::Answer => self.limits.answer,
        }
    }
}

impl Table {
    fn of(&self, peer: IpAddr) -> usize {
        self.entries
            .values()
            .filter(|entry| entry.peer == peer)
            .count()
    }

    /// Closes a connection of the address that has the most.
    fn close_one(&mut self) {
        let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for entry in self.entries.values() {
            *counts.entry(entry.peer).or_default() += 1;
        }
        let most = counts.values().max().copied();
        // Among several such addresses only the time decides.
        self.close_where(|entry| counts.get(&entry.peer).copied() == most);
    }

    fn close_one_of(&mut self, peer: IpAddr) {
        self.close_where(|entry| entry.peer == peer);
    }

    /// Closes the connection that has waited longest; one that is being answered only when none
    /// waits.
    fn close_where(&mut self, may: impl Fn(&Entry) -> bool) {
        let candidates = self.entries.iter().filter(|(_, entry)| may(entry));
        let chosen = candidates
            .min_by_key(|(_, entry)| (entry.phase == Phase::Answer, entry.since))
            .map(|(id, _)| *id);
        if let Some(entry) = chosen.and_then(|id| self.entries.remove(&id)) {
            entry.close.cancel();
            self.closed += 1;
        }
    }

    fn may_log(&mut self) -> bool {
        if self
            .logged
            .is_some_and(|logged| logged.elapsed() < LOG_EVERY)
        {
            return false;
        }
        self.logged = Some(Instant::now());
        true
    }

    /// How many connections were closed for others since the last log line, if one is due.
    fn news(&mut self) -> Option<u64> {
        (self.closed > 0 && self.may_log()).then(|| std::mem::take(&mut self.closed))
    }
}

/// The place of one connection in the table. Freed when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    connections: Connections,
    id: u64,
    peer: IpAddr,
    close: CancellationToken,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Seat {
    pub(super) fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Cancelled when the connection has to make room.
    pub(super) fn close(&self) -> &CancellationToken {
        &self.close
    }

    /// Deadline of the current phase.
    pub(super) fn deadline(&self) -> Instant {
        let table = self.connections.table();
        match table.entries.get(&self.id) {
            Some(entry) => entry.since + self.connections.within(entry.phase),
            None => Instant::now(),
        }
    }

    pub(super) fn phase(&self) -> Option<Phase> {
        let table = self.connections.table();
        table.entries.get(&self.id).map(|entry| entry.phase)
    }

    /// Starts a phase.
    pub(super) fn enters(&self, phase: Phase) {
        if let Some(entry) = self.connections.table().entries.get_mut(&self.id) {
            entry.phase = phase;
            entry.since = Instant::now();
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.connections.table().entries.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(connections: usize, per_peer: usize) -> Connections {
        Connections::new(Limits {
            connections,
            per_peer,
            ..Limits::default()
        })
    }

    fn peer(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    async fn enter(connections: &Connections, last: u8) -> Seat {
        tokio::time::advance(Duration::from_millis(1)).await;
        connections.enter(peer(last), None)
    }

    fn closed(seats: &[&Seat]) -> Vec<bool> {
        seats.iter().map(|seat| seat.close.is_cancelled()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_waiting_connection_of_the_address_with_most_is_closed() {
        let all = connections(4, 3);
        let few = enter(&all, 1).await;
        let many = [
            enter(&all, 2).await,
            enter(&all, 2).await,
            enter(&all, 2).await,
        ];
        many[0].enters(Phase::Answer);
        let probe = enter(&all, 3).await;
        assert_eq!(
            closed(&[&few, &many[0], &many[1], &many[2], &probe]),
            [false, false, true, false, false]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_at_its_limit_loses_its_own_connection() {
        let all = connections(10, 2);
        let other = enter(&all, 1).await;
        let mine = [
            enter(&all, 2).await,
            enter(&all, 2).await,
            enter(&all, 2).await,
        ];
        assert_eq!(
            closed(&[&other, &mine[0], &mine[1], &mine[2]]),
            [false, true, false, false]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_is_cut_only_when_no_connection_waits() {
        let all = connections(2, 2);
        let old = enter(&all, 1).await;
        old.enters(Phase::Answer);
        let waiting = enter(&all, 1).await;
        let next = enter(&all, 1).await;
        assert_eq!(closed(&[&old, &waiting, &next]), [false, true, false]);
        next.enters(Phase::Answer);
        let last = enter(&all, 1).await;
        assert_eq!(closed(&[&old, &next, &last]), [true, false, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_connection_frees_its_place() {
        let all = connections(2, 2);
        drop(enter(&all, 1).await);
        let seats = [enter(&all, 1).await, enter(&all, 1).await];
        assert_eq!(closed(&[&seats[0], &seats[1]]), [false, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn each_phase_has_its_own_deadline() {
        let all = connections(2, 2);
        let seat = enter(&all, 1).await;
        let left = |seat: &Seat| seat.deadline() - Instant::now();
        assert_eq!(left(&seat), Duration::from_secs(5));
        seat.enters(Phase::Answer);
        assert_eq!(left(&seat), Duration::from_secs(30));
        seat.enters(Phase::Idle);
        assert_eq!(left(&seat), Duration::from_secs(90));
    }

    #[tokio::test(start_paused = true)]
    async fn sockets_are_bounded_even_while_some_are_closing() {
        let all = connections(4, 4);
        let mut permits = Vec::new();
        for _ in 0..4 + CLOSING {
            permits.push(all.permit().await);
        }
        let more = tokio::time::timeout(Duration::from_secs(1), all.permit()).await;
        assert!(more.is_err());
        permits.pop();
        assert!(all.permit().await.is_some());
    }
}
