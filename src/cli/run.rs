//! `lagrange run`: builds all parts, connects them, and waits for the end. Makes no decisions
//! itself.

use std::{
    process::ExitCode,
    sync::{Arc, OnceLock},
    time::Duration,
};

use clap::Args;
use tokio::runtime::{Builder, Handle, Runtime};
use tracing::{Level, error, info};

use super::leader_options::LeaseOptions;
use super::run_options::Options;
use super::version;
use crate::clock::Clock;
use crate::controller::kube::connect::{self, Access, AccessError, Cluster};
use crate::controller::leader::{Candidate, Election, Leadership};
use crate::controller::{self, Gates, Setup};
use crate::kafka::budget::Budget;
use crate::kafka::pool::{self, PollerFailed, Pool};
use crate::kafka::rdkafka::bounds::Bounds;
use crate::kafka::rdkafka::reader::RdkafkaFactory;
use crate::metrics::Metrics;
use crate::process::http::{self, Pages};
use crate::process::readiness::{Gate, Liveness, ReadinessBuilder};
use crate::process::shutdown::{self, Ended, Tasks};
use crate::process::{descriptors, logging, memory};
use crate::recording::{self, Recorder};

/// Time for connections to Kafka to close. The end of the process closes the rest.
const CLOSE_WITHIN: Duration = Duration::from_secs(3);

/// Bytes of memory to assume if the system reports no limit: what the chart gives.
const UNKNOWN_MEMORY: u64 = 256 << 20;

/// Arguments of `lagrange run`.
#[derive(Args, Debug)]
pub(super) struct Run {
    #[command(flatten)]
    options: Options,
}

impl Run {
    pub(super) fn run(self) -> ExitCode {
        logging::init(self.options.log_format, &self.options.log_filter);
        descriptors::raise_limit();
        let runtimes = (
            workers(),
            Builder::new_current_thread().enable_all().build(),
        );
        let (Ok(workers), Ok(main)) = runtimes else {
            return give_up("cannot start threads: raise the limit on processes");
        };
        let ended = main.block_on(operate(self.options, workers.handle()));
        // A plain drop would wait for calls into librdkafka, which may hang.
        workers.shutdown_background();
        let code = match ended {
            Ok(Ended::Orderly) => {
                info!("stopped");
                return ExitCode::SUCCESS;
            }
            // Every action is in the status before it is made, so leaving a task loses nothing.
            Ok(Ended::Overdue(_)) => 0,
            Ok(Ended::AtOnce(signal)) => 128 + signal.number(),
            Ok(Ended::Failed(failure)) => {
                give_up(&failure.to_string());
                1
            }
            Err(reason) => return give_up(&reason),
        };
        // Threads of librdkafka may still run. Exit handlers free memory of OpenSSL that these
        // threads use, which aborts the process about once in 300 times. So exit without handlers.
        signal_hook::low_level::exit(code)
    }
}

/// At least two threads, so that one hung call does not stop all; at most four, because more cores
/// do not help.
fn workers() -> std::io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    Builder::new_multi_thread()
        .worker_threads(cores.clamp(2, 4))
        .enable_all()
        .build()
}

/// Writes the reason in one line: to the log, or to standard error if the log is off.
fn give_up(reason: &str) -> ExitCode {
    if tracing::enabled!(Level::ERROR) {
        error!("{reason}");
    } else {
        super::complain(reason);
    }
    ExitCode::FAILURE
}

async fn operate(options: Options, workers: &Handle) -> Result<Ended, String> {
    let signals =
        shutdown::signals().map_err(|error| format!("cannot listen for signals: {error}"))?;
    let metrics = Metrics::new();
    let liveness = Liveness::default();
    let (tasks, supervisor) = shutdown::supervised(workers.clone());

    let mut gates = ReadinessBuilder::default();
    let candidate = Arc::new(OnceLock::<Candidate>::new());
    let lease = options.leader.lease(connect::own_namespace())?;
    let operator = Operator {
        api_server: gates.gate("Kubernetes API server"),
        definitions: gates.gate("resource definitions"),
        election: lease.map(|lease| (lease, gates.gate("leader election"))),
        candidate: Arc::clone(&candidate),
        watches: Gates::new(&mut gates),
        metrics: metrics.clone(),
        options: options.clone(),
        tasks: tasks.clone(),
    };
    let pages = Pages {
        liveness: liveness.clone(),
        readiness: gates.build(),
        metrics: Arc::new(metrics),
    };

    let listener = http::listen(options.listen_address)
        .await
        .map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    info!(
        version = env!("CARGO_PKG_VERSION"),
        commit = version::COMMIT,
        pages = format!("http://{}", http::reachable(address)),
        "lagrange started"
    );
    tasks.spawn_vital(
        "http server",
        http::serve(listener, pages, tasks.stop().clone()),
    );
    tasks.spawn_vital("operator", operator.run());

    tasks.spawn("pulse", liveness.pulse(tasks.stop().clone()));

    let last = Box::pin(async {
        if let Some(candidate) = candidate.get() {
            candidate.release().await;
        }
    });
    Ok(supervisor.run(signals, options.shutdown_grace, last).await)
}

/// The parts that need the API server.
struct Operator {
    options: Options,
    api_server: Gate,
    definitions: Gate,
    election: Option<(LeaseOptions, Gate)>,
    /// The candidate, once it has been started.
    candidate: Arc<OnceLock<Candidate>>,
    watches: Gates,
    metrics: Metrics,
    tasks: Tasks,
}

/// The bounds on all clusters, for clusters of up to this many brokers: one of them has to fit
/// beside small ones.
fn kafka_bounds(brokers_per_cluster: usize, budget: &Budget) -> Bounds {
    Bounds {
        brokers_per_cluster,
        threads: budget.threads.max(brokers_per_cluster * 3 / 2),
        ..Bounds::default()
    }
}

impl Operator {
    async fn run(self) -> Result<(), AccessError> {
        let stop = self.tasks.stop().clone();
        let Some(reached) = stop.run_until_cancelled(self.reach()).await else {
            return Ok(());
        };
        let cluster = reached?;
        let definitions = self.definitions.clone();
        self.operate(&cluster);
        stop.run_until_cancelled(cluster.keep_an_eye_on_definitions(&definitions))
            .await;
        Ok(())
    }

    /// Starts the controllers and the pollers.
    fn operate(self, cluster: &Cluster) {
        let options = &self.options;
        let clock = Clock::start();
        let leadership = self.stand_for_election(cluster, clock);
        let budget = budget(options);
        let (pool, wakeups, failures) = Pool::new(
            clock,
            pool::Settings {
                call_timeout: options.kafka_timeout,
                max_clusters_per_namespace: options.max_connections_per_namespace.into(),
                allow_local_addresses: options.allow_local_addresses,
                max_partitions: budget.partitions,
                max_partitions_per_group: budget.partitions_per_group,
                ..pool::Settings::default()
            },
            Arc::new(RdkafkaFactory {
                call_timeout: options.kafka_timeout,
                allow_local_addresses: options.allow_local_addresses,
                bounds: kafka_bounds(options.max_brokers_per_cluster.into(), &budget),
            }),
            Arc::new(self.metrics.clone()),
        );
        self.tasks
            .spawn_vital("Kafka", keep(pool.clone(), failures, self.tasks.clone()));
        let recorder = self.recorder();
        let namespaces = options.watch_namespaces();
        let setup = Setup {
            client: cluster.client().clone(),
            kafka: Arc::new(pool),
            clock,
            metrics: self.metrics,
            settings: controller::Settings {
                namespaces: namespaces.into_iter().map(ToOwned::to_owned).collect(),
                api_timeout: options.api_timeout,
                concurrency: options.concurrency,
                inline_connections: options.inline_connections,
                inline_interval: options.inline_poll_interval,
                ambient_identity_namespaces: options
                    .ambient_identity_namespaces(connect::own_namespace()),
            },
            recorder,
            gates: self.watches,
            leadership,
            tasks: self.tasks,
        };
        controller::start(setup, wakeups);
    }

    /// Starts to wait for the Lease, if there is one to wait for.
    fn stand_for_election(&self, cluster: &Cluster, clock: Clock) -> Leadership {
        let Some((lease, gate)) = self.election.clone() else {
            self.metrics.leads(true);
            return Leadership::unlimited();
        };
        let candidate = Candidate::new(Election {
            client: cluster.client().clone(),
            namespace: lease.namespace,
            name: lease.name,
            identity: identity(),
            timing: lease.timing,
            clock,
            gate,
            metrics: self.metrics.clone(),
        });
        let leadership = candidate.leadership();
        let stop = self.tasks.stop().clone();
        self.tasks
            .spawn_vital("leader election", candidate.clone().run(stop));
        self.candidate.get_or_init(|| candidate);
        leadership
    }

    /// Starts recording, if a group is to be recorded.
    fn recorder(&self) -> Option<Recorder> {
        let Options {
            record,
            record_limit,
            ..
        } = self.options.clone();
        let record = record?;
        let limit = record_limit.saturating_mul(1024 * 1024);
        info!(group = %format_args!("{}/{}", record.namespace, record.name), file = %record.file.display(), "recording");
        let (recorder, keeper) =
            recording::recorder(record.namespace, record.name, record.file, limit);
        self.tasks
            .spawn("recording", keeper.run(self.tasks.stop().clone()));
        Some(recorder)
    }

    /// Prepares the start of work: the API server answers, serves the resources and allows listing
    /// them.
    async fn reach(&self) -> Result<Cluster, AccessError> {
        let access = Access {
            kubeconfig: self.options.kubeconfig.clone(),
            context: self.options.context.clone(),
            timeout: self.options.api_timeout,
        };
        let cluster = Cluster::connect(&access).await?;
        self.api_server.open();
        cluster.definitions(&self.definitions).await?;
        cluster
            .permissions(&self.options.watch_namespaces())
            .await?;
        Ok(cluster)
    }
}

/// The name of this process: that of its Pod, and a number that no earlier process in the Pod had.
fn identity() -> String {
    let pod = std::env::var("HOSTNAME").unwrap_or_else(|_| "lagrange".to_owned());
    format!("{pod}_{:016x}", fastrand::u64(..))
}

/// How the memory is divided.
fn budget(options: &Options) -> Budget {
    let configured = options.memory_limit.map(|mebibytes| mebibytes << 20);
    let memory = configured.or_else(memory::limit).unwrap_or(UNKNOWN_MEMORY);
    let budget = Budget::of(memory);
    info!(
        mebibytes = memory >> 20,
        partitions = budget.partitions,
        partitions_per_group = budget.partitions_per_group,
        "memory"
    );
    budget
}

/// Ends with an error when a poller fails. Closes the connections when the process ends.
async fn keep(pool: Pool, mut failures: pool::Failures, tasks: Tasks) -> Result<(), PollerFailed> {
    let stop = tasks.stop();
    if let Some(failure) = stop.run_until_cancelled(failures.next()).await {
        return Err(failure);
    }
    pool.shutdown(CLOSE_WITHIN).await;
    Ok(())
}
