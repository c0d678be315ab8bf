//! Two operator processes. Each has an account, a way to the API server and a wall clock of its
//! own.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use lagrange_testing::clock::WallClock;
use lagrange_testing::operator::{Operator, binary};
use lagrange_testing::proxy::Proxy;
use lagrange_testing::until::{secs, throughout, until};
use serde_json::{Value, json};

use crate::account::{LEASE, grant};
use crate::stage::{Stage, now};

/// The accounts, which are the host names too.
pub(super) const ACCOUNTS: [&str; 2] = ["slot-a", "slot-b"];
/// Who is written into the Lease by hand.
pub(super) const SOMEBODY: &str = "somebody";
const HOUR: i64 = 3_600;
/// Everything that must happen happens within this and a few leases.
const PATIENCE: Duration = Duration::from_secs(30);

/// The durations of the election.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    lease: Duration,
    pub(super) deadline: Duration,
    retry: Duration,
}

impl Times {
    /// In the ratio of the defaults: 15 s, 10 s, 2 s.
    pub(super) fn of(lease: Duration) -> Self {
        Self {
            lease,
            deadline: lease * 2 / 3,
            retry: lease * 2 / 15,
        }
    }

    fn flags(self) -> [String; 3] {
        [
            ("lease-duration", self.lease),
            ("renew-deadline", self.deadline),
            ("retry-period", self.retry),
        ]
        .map(|(name, time)| format!("--leader-elect-{name}={}ms", time.as_millis()))
    }
}

/// The place of one process.
pub(super) struct Slot {
    account: &'static str,
    kubeconfig: PathBuf,
    clock: WallClock,
    /// Seconds that the clock was ahead when the process was started.
    began_ahead: i64,
    process: Option<Operator>,
}

/// Both places.
pub(super) struct Pair<'a> {
    stage: &'a Stage<'a>,
    times: Times,
    proxy: Proxy,
    slots: [Slot; 2],
    _files: tempfile::TempDir,
}

impl<'a> Pair<'a> {
    /// Starts both.
    pub(super) async fn start(stage: &'a Stage<'a>, times: Times) -> Self {
        grant(stage, &ACCOUNTS).await;
        let files = tempfile::tempdir().unwrap();
        let proxy = Proxy::bind(2).await;
        let server = stage.kubernetes.address();
        proxy.serve(&format!("{server},{server}"));
        let ways: Vec<String> = proxy.addresses().split(',').map(str::to_owned).collect();
        let slot = async |index: usize| {
            let account = ACCOUNTS[index];
            let access = stage.kubernetes.kubeconfig_of(&stage.space.name, account);
            let name = format!("{}-{account}.kubeconfig", stage.space.name);
            let access = access.replace(&server, &ways[index]);
            Slot {
                account,
                kubeconfig: stage.kubernetes.file(&name, &access),
                clock: WallClock::at(&files.path().join(account)).await,
                began_ahead: 0,
                process: None,
            }
        };
        let slots = [slot(0).await, slot(1).await];
        let mut pair = Self {
            stage,
            times,
            proxy,
            slots,
            _files: files,
        };
        pair.restart(0);
        pair.restart(1);
        pair
    }

    pub(super) fn times(&self) -> Times {
        self.times
    }

    pub(super) fn slot(&mut self, index: usize) -> &mut Slot {
        &mut self.slots[index]
    }

    /// Starts a process in the place of one that has ended.
    pub(super) fn restart(&mut self, index: usize) {
        let namespace = &self.stage.space.name;
        let slot = &mut self.slots[index];
        let mut command = Command::new(binary());
        command.env_clear().envs(slot.clock.environment());
        command.env("HOSTNAME", slot.account);
        let mut flags = vec![
            format!("--kubeconfig={}", slot.kubeconfig.display()),
            format!("--watch-namespace={namespace}"),
            "--leader-elect".to_owned(),
            format!("--leader-elect-resource-namespace={namespace}"),
        ];
        flags.extend(self.times.flags());
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        slot.began_ahead = slot.clock.ahead();
        slot.process = Some(Operator::launch(
            command,
            &slot.kubeconfig,
            namespace,
            &flags,
        ));
    }

    /// Waits until one process leads and both are ready.
    pub(super) async fn until_both_stand(&mut self) {
        for slot in &self.slots {
            slot.process.as_ref().unwrap().until_ready().await;
        }
        self.leader().await;
        for slot in &mut self.slots {
            slot.assert_runs();
        }
    }

    /// Waits until `/readyz` of both contains this text.
    pub(super) async fn until_both_say(&self, wanted: &str) {
        for slot in &self.slots {
            let process = slot.process.as_ref().unwrap();
            until(PATIENCE, &format!("readiness names {wanted}"), || async {
                let said = process.get("/readyz");
                let is_named = said.contains(wanted);
                is_named.then_some(()).ok_or(said)
            })
            .await;
        }
    }

    fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.stage.space.client.clone(), &self.stage.space.name)
    }

    /// The holder, and the time of the last renewal.
    async fn holder(&self) -> Option<(String, Timestamp)> {
        let spec = self.leases().get_opt(LEASE).await.unwrap()?.spec?;
        Some((spec.holder_identity?, spec.renew_time?.0))
    }

    /// The leader: its place, and its name in the Lease.
    pub(super) async fn leader(&self) -> (usize, String) {
        until(PATIENCE, "a process leads", || async {
            let holder = self.holder().await.map(|(name, _)| name);
            let place = holder.as_deref().and_then(place);
            place.zip(holder.clone()).ok_or(format!("{holder:?}"))
        })
        .await
    }

    /// Waits until the Lease names another process than `former`. Returns the time since `began`.
    pub(super) async fn until_follows(&self, former: &str, began: Instant) -> Duration {
        loop {
            let holder = self.holder().await;
            if let Some((name, renewed)) = &holder
                && let Some(index) = place(name)
                && name != former
            {
                let took = began.elapsed();
                self.slots[index].assert_clock(*renewed);
                return took;
            }
            let waited = began.elapsed();
            assert!(
                waited < self.times.lease * 4 + PATIENCE,
                "{former}: {holder:?}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the Lease is there again and names the same process. Returns the time since
    /// `began`.
    pub(super) async fn until_back(&self, former: &str, began: Instant) -> Duration {
        until(PATIENCE, "the Lease is there again", || async {
            let (name, _) = self.holder().await.ok_or("no Lease")?;
            assert_eq!(name, former, "its holder makes it again");
            Ok(began.elapsed())
        })
        .await
    }

    /// Panics if another process leads within more than a lease.
    pub(super) async fn holds_on(&self, former: &str) {
        let lasting = self.times.lease + secs(1);
        throughout(lasting, "the leader stays", || async {
            match self.holder().await {
                Some((name, _)) if name == former => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }

    /// From now on this process does not reach the API server, or gets no answers from it.
    pub(super) fn cut_off(&self, index: usize, only_answers: bool) {
        let (way, long) = (u32::try_from(index + 1).unwrap(), secs(3_600));
        if only_answers {
            self.proxy.hold(way, long);
        } else {
            self.proxy.silence(way, long);
        }
    }

    pub(super) fn reconnect(&self) {
        self.proxy.release();
    }

    pub(super) async fn edit_holder(&self, holder: &Value) {
        let edit = Patch::Merge(json!({ "spec": { "holderIdentity": holder } }));
        let parameters = PatchParams::default();
        self.leases()
            .patch(LEASE, &parameters, &edit)
            .await
            .unwrap();
    }

    pub(super) async fn delete_lease(&self) {
        let parameters = DeleteParams::default();
        let _ = self.leases().delete(LEASE, &parameters).await.unwrap();
    }

    /// Kills both.
    pub(super) fn end(&mut self) {
        self.slots.iter_mut().for_each(Slot::kill);
    }
}

/// The place of a process with this name.
fn place(holder: &str) -> Option<usize> {
    let (account, _) = holder.split_once('_')?;
    ACCOUNTS.iter().position(|known| *known == account)
}

impl Slot {
    fn running(&mut self) -> &mut Operator {
        self.process.as_mut().unwrap()
    }

    fn assert_runs(&mut self) {
        if let Some(status) = self.running().ended() {
            panic!("{} ended by itself: {status}", self.account);
        }
    }

    pub(super) fn kill(&mut self) {
        self.assert_runs();
        self.process.take().unwrap().kill();
    }

    pub(super) fn signal(&mut self, name: &str) {
        self.assert_runs();
        self.running().signal(name);
    }

    /// Waits until the process has ended, and returns how.
    async fn until_ended(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.running().ended() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "{} does not end", self.account);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the process ends by itself, with an error.
    pub(super) async fn until_failed(&mut self) {
        let status = self.until_ended().await;
        assert!(!status.success() && status.signal().is_none(), "{status}");
        assert!(self.running().log().contains("starts again as a stand-by"));
    }

    /// Waits until the process ends without an error.
    pub(super) async fn until_succeeded(&mut self) {
        let status = self.until_ended().await;
        assert!(status.success(), "{status}");
    }

    /// Sets the wall clock forward by an hour, or back again, and waits until the process shows it.
    pub(super) async fn set_clock(&mut self) {
        self.clock.set_ahead(HOUR - self.clock.ahead());
        let ahead = self.clock.ahead();
        let process = self.process.as_ref().unwrap();
        until(PATIENCE, "the process has the new time", || async {
            let log = process.log();
            let last = log
                .lines()
                .rev()
                .find_map(|line| line.split(' ').next()?.parse().ok());
            let last: Timestamp = last.ok_or("no line has a time")?;
            let seen = last.duration_since(now()).as_secs();
            let is_set = (seen - ahead).abs() < HOUR / 2;
            is_set.then_some(()).ok_or(format!("{seen} s ahead"))
        })
        .await;
    }

    /// Panics if the process did not begin with the wall clock that it was given.
    fn assert_clock(&self, renewed: Timestamp) {
        let seen = renewed.duration_since(now()).as_secs();
        let is_given = (seen - self.began_ahead).abs() < 60;
        assert!(
            is_given,
            "{}: {seen} s instead of {}",
            self.account, self.began_ahead
        );
    }
}
