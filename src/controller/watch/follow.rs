//! The loop under every watch: lists, watches, and lists again when needed. kube's own loop is not
//! used: it reads a page as a whole, so one object that cannot be read fails all of it
//! (`docs/decisions/0010`). Reports to a [`WatchHandler`] and does not use gates.

use std::time::Duration;

use kube::{
    api::{ListParams, WatchParams},
    core::Status,
};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::debug;

use crate::controller::kube::answers::cutter::Cut;
use crate::controller::kube::answers::object::{Item, Line};
use crate::controller::kube::answers::{self, ApiServer};
use crate::controller::kube::name::Name;

/// Load balancers drop connections that are silent for four minutes.
const WATCH_TIMEOUT: u32 = 200;
/// A watch that has not even ended by then is dead.
const SILENCE: Duration = Duration::from_secs(WATCH_TIMEOUT as u64 + 5);
/// Objects per page of a list.
const PAGE: u32 = 100;
/// A watch that keeps failing for this time starts again with a list.
const RELIST_AFTER: Duration = Duration::from_mins(3);
/// A watch that stays open for this time works, even if no event has come.
const STANDS_AFTER: Duration = Duration::from_secs(10);
/// A watch that ends sooner without an event did not work.
const SHORTEST: Duration = Duration::from_millis(500);

/// The objects to follow.
#[derive(Clone)]
pub(in crate::controller) struct Source {
    /// The API server.
    pub(in crate::controller) api: ApiServer,
    /// Path of the collection.
    pub(in crate::controller) path: String,
    /// A field selector, for a part of the collection.
    pub(in crate::controller) fields: Option<String>,
}

/// Handles everything that happens in a watch.
pub(in crate::controller) trait WatchHandler: Send {
    /// A list begins: it will report every existing object again.
    fn begins(&mut self);
    /// An object exists. It may have changed, and it may be unreadable.
    fn sees(&mut self, item: Item<'_>);
    /// An object is gone.
    fn gone(&mut self, name: Name);
    /// Every existing object has been reported.
    fn listed(&mut self);
    /// A list or a watch failed. It is tried again.
    fn fails(&mut self, error: &kube::Error);
    /// The failure goes on. Returns when to report it again, if that is before the next try.
    fn still_fails(&mut self) -> Option<Instant>;
    /// Lists and watches work again.
    fn heals(&mut self);
}

/// Follows the objects of `source` and never returns.
pub(in crate::controller) async fn follow(source: Source, mut handler: impl WatchHandler) {
    let mut follow = Follow {
        source,
        pause: Pause::default(),
        lists_fail: false,
    };
    loop {
        match follow.list(&mut handler).await {
            Ok(version) => {
                if std::mem::take(&mut follow.lists_fail) {
                    handler.heals();
                }
                handler.listed();
                follow.watch(version, &mut handler).await;
            }
            Err(error) => {
                follow.lists_fail = true;
                handler.fails(&error);
                follow.rest(&mut handler, Some(&error)).await;
            }
        }
    }
}

struct Follow {
    source: Source,
    pause: Pause,
    /// The last failure was in a list: a list that succeeds ends it.
    lists_fail: bool,
}

/// How a watch ended.
enum End {
    /// It ended normally, or the connection broke.
    Over,
    /// The version is too old.
    Gone,
    /// The API server reported this error.
    Failed(kube::Error),
}

impl Follow {
    /// Reports every existing object. Returns the version of the list.
    async fn list(&self, handler: &mut impl WatchHandler) -> kube::Result<String> {
        handler.begins();
        let mut parameters = ListParams::default().limit(PAGE);
        parameters.field_selector.clone_from(&self.source.fields);
        loop {
            let each = |cut: Cut<'_>| handler.sees(Item::of(cut));
            let end = answers::page(&self.source.api, &self.source.path, &parameters, each).await?;
            match (end.token, end.resource_version) {
                (None, Some(version)) => return Ok(version),
                (None, None) => {
                    return Err(kube::Error::Service("the list has no version".into()));
                }
                (token, _) => parameters.continue_token = token,
            }
        }
    }

    /// Reports the changes after `version`. Returns when a list is needed.
    async fn watch(&mut self, mut version: String, handler: &mut impl WatchHandler) {
        let mut parameters = WatchParams::default().timeout(WATCH_TIMEOUT);
        if let Some(fields) = &self.source.fields {
            parameters = parameters.fields(fields);
        }
        let mut failing: Option<Instant> = None;
        loop {
            let Source { api, path, .. } = &self.source;
            let opened = answers::watch(api, path, &parameters, &version, SILENCE).await;
            let since = Instant::now();
            let end = match opened {
                Ok(mut lines) => {
                    let mut works = false;
                    let end = Self::listen(&mut lines, &mut version, handler, &mut works).await;
                    if works || since.elapsed() >= SHORTEST {
                        self.pause.reset();
                    }
                    if works {
                        failing = None;
                    }
                    end
                }
                // A kind that is no longer served has no objects: the list reports that.
                Err(error) if answers::is(&error, 410) || answers::is(&error, 404) => End::Gone,
                Err(error) => End::Failed(error),
            };
            match end {
                End::Over => {
                    if self.pause.failures > 0 || since.elapsed() < SHORTEST {
                        self.rest(handler, None).await;
                    }
                }
                End::Gone => {
                    debug!(
                        path = self.source.path,
                        "the watch starts again with a list"
                    );
                    if self.pause.failures > 0 || since.elapsed() < SHORTEST {
                        self.rest(handler, None).await;
                    }
                    return;
                }
                End::Failed(error) => {
                    let since = *failing.get_or_insert_with(Instant::now);
                    handler.fails(&error);
                    self.rest(handler, Some(&error)).await;
                    if since.elapsed() >= RELIST_AFTER {
                        debug!(
                            path = self.source.path,
                            "the watch starts again with a list"
                        );
                        return;
                    }
                }
            }
        }
    }

    /// Reads a watch to its end. `works` becomes true when an event has come, or the watch has
    /// stayed open for a while.
    async fn listen(
        lines: &mut answers::Lines,
        version: &mut String,
        handler: &mut impl WatchHandler,
        works: &mut bool,
    ) -> End {
        let stands = Instant::now() + STANDS_AFTER;
        loop {
            let next = if *works {
                lines.next().await
            } else {
                let Ok(next) = timeout(stands - Instant::now(), lines.next()).await else {
                    *works = true;
                    handler.heals();
                    continue;
                };
                next
            };
            let cut = match next {
                Ok(Some(cut)) => cut,
                Ok(None) => return End::Over,
                Err(error) => {
                    debug!("a watch broke off: {}", answers::words(&error));
                    return End::Over;
                }
            };
            let event = match Event::of(cut) {
                Event::Error(status) if status.code == 410 => return End::Gone,
                Event::Error(status) => return End::Failed(kube::Error::Api(status.boxed())),
                event => event,
            };
            if !std::mem::replace(works, true) {
                handler.heals();
            }
            let (item, deleted) = match event {
                Event::There(item) => (item, false),
                Event::Deleted(item) => (item, true),
                Event::Bookmark(item) => {
                    if let Some(newer) = &item.version {
                        version.clone_from(newer);
                    }
                    continue;
                }
                Event::Error(_) => continue,
            };
            if let Some(newer) = &item.version {
                version.clone_from(newer);
            }
            match (item.name.clone(), deleted) {
                (Some(name), true) => handler.gone(name),
                // An event without a name: the list finds out which object is gone.
                (None, true) => return End::Gone,
                (_, false) => handler.sees(item),
            }
        }
    }

    /// Waits before the next try, longer each time.
    async fn rest(&mut self, handler: &mut impl WatchHandler, error: Option<&kube::Error>) {
        let longest = match error {
            // A kind may be installed at any time, so it is tried again soon.
            Some(error) if answers::is(error, 404) => Pause::LONGEST_UNKNOWN,
            _ => Pause::LONGEST,
        };
        let until = Instant::now() + self.pause.next(longest);
        while let Some(at) = handler.still_fails().filter(|at| *at < until) {
            sleep_until(at).await;
        }
        sleep(until.saturating_duration_since(Instant::now())).await;
    }
}

enum Event<'a> {
    There(Item<'a>),
    Deleted(Item<'a>),
    Bookmark(Item<'a>),
    Error(Status),
}

impl<'a> Event<'a> {
    fn of(line: Cut<'a>) -> Self {
        let text = match line {
            Cut::Whole(text) => text,
            Cut::TooLarge(beginning) => {
                let item = Item::of(Cut::TooLarge(beginning));
                let deleted = br#"{"type":"DELETED""#;
                return if beginning.starts_with(deleted) {
                    Self::Deleted(item)
                } else {
                    Self::There(item)
                };
            }
        };
        let Ok(line) = serde_json::from_slice::<Line<'_>>(text) else {
            return Self::There(Item::of(Cut::Whole(b"")));
        };
        let object = line.object.get();
        let item = || Item::of(Cut::Whole(object.as_bytes()));
        match line.event.as_str() {
            "DELETED" => Self::Deleted(item()),
            "BOOKMARK" => Self::Bookmark(Item {
                name: None,
                version: answers::object::version(object),
                text: Ok(object),
            }),
            "ERROR" => Self::Error(answers::status(object)),
            _ => Self::There(item()),
        }
    }
}

/// The wait before the next try: twice as long each time, and half of it random, so that many do
/// not try at once.
#[derive(Debug, Default)]
struct Pause {
    failures: u32,
}

impl Pause {
    const FIRST: Duration = Duration::from_millis(800);
    const LONGEST: Duration = Duration::from_secs(30);
    const LONGEST_UNKNOWN: Duration = Duration::from_secs(4);

    fn reset(&mut self) {
        self.failures = 0;
    }

    fn next(&mut self, longest: Duration) -> Duration {
        use std::hash::{BuildHasher as _, RandomState};
        let whole = Self::FIRST
            .saturating_mul(1_u32 << self.failures.min(10))
            .min(longest);
        self.failures = self.failures.saturating_add(1);
        let half = u64::try_from(whole.as_millis() / 2).unwrap_or(0).max(1);
        Duration::from_millis(half + RandomState::new().hash_one(0) % half)
    }
}

#[cfg(test)]
mod tests;
