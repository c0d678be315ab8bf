//! The text of `/metrics`: tens of megabytes when there are thousands of groups. Concurrent
//! requests share one text. At most two texts are in memory, and making them takes at most a tenth
//! of one core.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

/// Responses that are made or written at the same time, in total. Further requests get 503.
const ANSWERS: usize = 4;
/// The same per address, so that a single slow reader does not take them all.
const ANSWERS_PER_PEER: usize = 2;

/// Texts in memory at the same time: one that slow clients still read, and a newer one.
const TEXTS: usize = 2;

/// A text is reused until its age is this many times the time that it took to make.
const REST: u32 = 9;

/// Makes a text; the argument is the expected length.
type Make = dyn Fn(usize) -> String + Send + Sync;

/// Makes the text, and shares it. Clones share one text.
#[derive(Clone)]
pub(super) struct Exposition {
    make: Arc<Make>,
    texts: Arc<tokio::sync::Mutex<Vec<Text>>>,
}

struct Text {
    bytes: Bytes,
    asked: Instant,
    took: Duration,
}

impl Text {
    fn is_fresh(&self) -> bool {
        self.asked.elapsed() < self.took.saturating_mul(REST)
    }
}

impl Exposition {
    pub(super) fn new(make: impl Fn(usize) -> String + Send + Sync + 'static) -> Self {
        Self {
            make: Arc::new(make),
            texts: Arc::default(),
        }
    }

    /// The current text, or one made a moment ago. While slow clients hold two texts, the newer of
    /// the two: it is at most half a minute old, because a response may take no longer. `None` if
    /// it could not be made.
    pub(super) async fn text(&self) -> Option<Bytes> {
        let mut texts = self.texts.lock().await;
        let newest = texts.last();
        if let Some(text) = newest.filter(|text| text.is_fresh()) {
            return Some(text.bytes.clone());
        }
        let expected = newest.map_or(0, |text| text.bytes.len());
        // Drop texts that are no longer being written to a client.
        texts.retain(|text| !text.bytes.is_unique());
        if texts.len() >= TEXTS {
            return texts.last().map(|text| text.bytes.clone());
        }
        let make = self.make.clone();
        let asked = Instant::now();
        let made = tokio::task::spawn_blocking(move || make(expected.saturating_add(expected / 8)));
        let bytes = Bytes::from(made.await.ok()?);
        texts.push(Text {
            bytes: bytes.clone(),
            asked,
            took: asked.elapsed(),
        });
        Some(bytes)
    }
}

/// The slots that limit concurrent responses.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots {
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Slots {
    /// Takes a slot; `None` when too many responses are under way.
    pub(super) fn take(&self, peer: IpAddr) -> Option<Arc<Slot>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_peer = taken.get(&peer).copied().unwrap_or_default();
        if of_peer >= ANSWERS_PER_PEER || taken.values().sum::<usize>() >= ANSWERS {
            return None;
        }
        taken.insert(peer, of_peer + 1);
        Some(Arc::new(Slot {
            slots: self.clone(),
            peer,
        }))
    }
}

/// A permit for one response. Freed when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Slots,
    peer: IpAddr,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self
            .slots
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let left = taken.get(&self.peer).copied().unwrap_or_default();
        if left > 1 {
            taken.insert(self.peer, left - 1);
        } else {
            taken.remove(&self.peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn peer(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn two_responses_per_address_and_four_in_total() {
        let slots = Slots::default();
        let first = [slots.take(peer(1)), slots.take(peer(1))].map(Option::unwrap);
        assert!(slots.take(peer(1)).is_none());
        let second = [slots.take(peer(2)), slots.take(peer(3))].map(Option::unwrap);
        assert!(slots.take(peer(4)).is_none());
        drop(first);
        assert!(slots.take(peer(1)).is_some());
        assert!(slots.take(peer(4)).is_some());
        drop(second);
        assert!(slots.taken.lock().unwrap().is_empty());
    }

    /// An exposition whose texts take `took` to make, and the number of texts made.
    fn counted(took: Duration) -> (Exposition, Arc<AtomicUsize>) {
        let made = Arc::new(AtomicUsize::new(0));
        let counter = made.clone();
        let exposition = Exposition::new(move |_| {
            std::thread::sleep(took);
            counter.fetch_add(1, Ordering::SeqCst).to_string()
        });
        (exposition, made)
    }

    #[tokio::test]
    async fn concurrent_requests_share_one_text() {
        let (exposition, made) = counted(Duration::from_millis(200));
        let asked: Vec<_> = (0..50)
            .map(|_| {
                let exposition = exposition.clone();
                tokio::spawn(async move { exposition.text().await.unwrap() })
            })
            .collect();
        for each in asked {
            assert_eq!(each.await.unwrap(), "0");
        }
        assert_eq!(made.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn an_old_text_that_is_not_in_use_is_replaced() {
        let (exposition, _) = counted(Duration::ZERO);
        assert_eq!(exposition.text().await.unwrap(), "0");
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(exposition.text().await.unwrap(), "1");
        assert_eq!(exposition.texts.lock().await.len(), 1);
    }

    #[tokio::test]
    async fn slow_clients_hold_two_texts_at_most() {
        let (exposition, made) = counted(Duration::ZERO);
        let mut held = Vec::new();
        for _ in 0..5 {
            held.push(exposition.text().await.unwrap());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(held, ["0", "1", "1", "1", "1"]);
        assert_eq!(made.load(Ordering::SeqCst), 2);
        held.clear();
        assert_eq!(exposition.text().await.unwrap(), "2");
    }
}
