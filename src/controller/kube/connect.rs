//! Connects to the API server: finds the configuration, and checks that the server answers, that
//! the operator has access and that the resource definitions exist. Only reads: discovery, and one
//! list of one object.

use std::{path::PathBuf, time::Duration};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResourceList;
use kube::{
    Client, Config,
    api::{ListParams, Request},
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use lagrange_core::text;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use crate::process::readiness::Gate;

/// A connection that is silent for this time is dead. Longer than the longest watch.
const LONGEST_SILENCE: Duration = Duration::from_secs(220);
/// Pause between two checks for something that does not exist yet.
const RETRY: Duration = Duration::from_secs(1);

/// How long access must be denied to count as denied. An API server that was killed and started
/// again denied everything for a second.
const DENIED: Duration = Duration::from_secs(5);

/// How often to check that the resource definitions still exist.
const DEFINITIONS_CHECK: Duration = Duration::from_secs(5);

/// How often a wait that goes on is logged again.
const REMIND: Duration = Duration::from_mins(1);

/// The cause of a call that passes its deadline without an error.
const SILENCE: &str = "the request timed out";

const GROUP_VERSION: &str = "lagrange.dev/v1alpha1";
const PLURALS: [&str; 2] = ["consumergroups", "kafkaclusters"];

/// Where the API server is and how long it may take.
#[derive(Clone, Debug)]
pub struct Access {
    /// Kubeconfig file; `None` takes the usual places and then the pod's service account.
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; `None` takes the current one.
    pub context: Option<String>,
    /// Deadline of each call, and of the API server's first answer.
    pub timeout: Duration,
}

/// Why work cannot begin. Each message says what to do, in one line.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Neither a kubeconfig nor a service account.
    #[error(
        "found no cluster to talk to ({0}): give --kubeconfig, set KUBECONFIG, or run in a pod with a service account"
    )]
    NoConfig(String),
    /// There is a kubeconfig, but it cannot be used.
    #[error(
        "cannot use the kubeconfig ({0}): correct it, or name another with --kubeconfig and --context"
    )]
    BadConfig(String),
    /// No answer in time.
    #[error("the API server at {url} gave no answer within {} s ({cause}): check the address, the network and --api-timeout", within.as_secs_f64())]
    Unreachable {
        /// The address, as configured.
        url: String,
        /// `--api-timeout`.
        within: Duration,
        /// The last error.
        cause: String,
    },
    /// 401, or the credentials could not be obtained.
    #[error(
        "the API server at {url} did not authenticate the operator ({cause}): renew the credentials of the kubeconfig or of the service account"
    )]
    NotAuthenticated {
        /// The address, as configured.
        url: String,
        /// The API server's message.
        cause: String,
    },
    /// 403.
    #[error(
        "the API server at {url} denies the operator access ({cause}): give the operator's account the chart's role, or name its namespaces with --watch-namespace"
    )]
    NotAuthorised {
        /// The address, as configured.
        url: String,
        /// The API server's message.
        cause: String,
    },
}

/// The namespace of the Pod that this process runs in; `None` outside of one.
pub fn own_namespace() -> Option<String> {
    let file = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
    let namespace = std::fs::read_to_string(file).ok()?;
    Some(namespace.trim().to_owned()).filter(|namespace| !namespace.is_empty())
}

/// A client, and what its error messages contain.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    url: String,
    timeout: Duration,
}

impl Cluster {
    /// Reads the configuration and waits until the API server answers, at most until the timeout is
    /// over.
    pub async fn connect(access: &Access) -> Result<Self, AccessError> {
        let config = configuration(access).await?;
        let url = config.cluster_url.to_string();
        let client =
            Client::try_from(config).map_err(|error| AccessError::BadConfig(one_line(&error)))?;
        let cluster = Self {
            client,
            url: url.trim_end_matches('/').to_owned(),
            timeout: access.timeout,
        };
        cluster.first_answer().await?;
        info!(url = cluster.url, "connected to the Kubernetes API server");
        Ok(cluster)
    }

    /// The client; each call needs a deadline of its own.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Waits without a limit until both resource definitions are served, and shows the wait at
    /// `gate`.
    ///
    /// A restart would not make a definition appear, so only a refusal ends the wait.
    pub async fn definitions(&self, gate: &Gate) -> Result<(), AccessError> {
        let mut logged: Option<(String, Instant)> = None;
        loop {
            let detail = match self.ask(|| self.discovery()).await {
                Ok(served) => match missing(&served) {
                    None => {
                        info!("resource definitions are served");
                        gate.open();
                        return Ok(());
                    }
                    Some(missing) => missing,
                },
                Err(Asked::Refused(error)) => return Err(error),
                Err(Asked::Absent) => missing(&APIResourceList::default()).unwrap_or_default(),
                Err(Asked::NoAnswer(cause)) => format!("no answer from the API server: {cause}"),
            };
            let news = |(said, at): &(String, Instant)| *said != detail || at.elapsed() >= REMIND;
            if logged.as_ref().is_none_or(news) {
                warn!("waiting for resource definitions: {detail}");
                logged = Some((detail.clone(), Instant::now()));
            }
            gate.close(detail);
            sleep(RETRY).await;
        }
    }

    /// Keeps `gate` open while both resource definitions are served, and never returns: they may be
    /// deleted and created again. An API server that does not answer changes nothing.
    pub async fn keep_an_eye_on_definitions(&self, gate: &Gate) {
        let mut absent: Option<String> = None;
        loop {
            sleep(DEFINITIONS_CHECK).await;
            let now = match self.ask(|| self.discovery()).await {
                Ok(served) => missing(&served),
                Err(Asked::Absent) => missing(&APIResourceList::default()),
                Err(Asked::Refused(_) | Asked::NoAnswer(_)) => continue,
            };
            if now == absent {
                continue;
            }
            match &now {
                None => {
                    info!("resource definitions are served again");
                    gate.open();
                }
                Some(missing) => {
                    warn!("resource definitions are gone: {missing}");
                    gate.close(missing.clone());
                }
            }
            absent = now;
        }
    }

    /// Checks that the operator's resources may be listed where they will be watched; a watch that
    /// is refused would only retry.
    pub async fn permissions(&self, namespaces: &[&str]) -> Result<(), AccessError> {
        let scopes: Vec<String> = match namespaces {
            [] => vec![String::new()],
            some => some
                .iter()
                .map(|namespace| format!("/namespaces/{namespace}"))
                .collect(),
        };
        for scope in &scopes {
            for plural in PLURALS {
                let path = format!("/apis/{GROUP_VERSION}{scope}/{plural}");
                match self.ask(|| self.list_one(&path)).await {
                    Err(Asked::Refused(error)) => return Err(error),
                    // The watch will report any other error and retry.
                    Err(Asked::Absent | Asked::NoAnswer(_)) | Ok(_) => {}
                }
            }
        }
        Ok(())
    }

    async fn first_answer(&self) -> Result<(), AccessError> {
        let mut cause = SILENCE.to_owned();
        let answered = timeout(self.timeout, async {
            loop {
                match self.ask(|| self.discovery()).await {
                    Ok(_) | Err(Asked::Absent) => return Ok(()),
                    Err(Asked::Refused(error)) => return Err(error),
                    Err(Asked::NoAnswer(seen)) => cause = seen,
                }
                debug!("no answer from the API server yet: {cause}");
                sleep(RETRY).await;
            }
        })
        .await;
        answered.unwrap_or_else(|_| {
            Err(AccessError::Unreachable {
                url: self.url.clone(),
                within: self.timeout,
                cause,
            })
        })
    }

    async fn discovery(&self) -> Result<APIResourceList, kube::Error> {
        self.client.list_api_group_resources(GROUP_VERSION).await
    }

    /// The content of the answer is not read: it may be anything.
    async fn list_one(&self, path: &str) -> Result<String, kube::Error> {
        let request = Request::new(path).list(&ListParams::default().limit(1));
        self.client
            .request_text(request.map_err(kube::Error::BuildRequest)?)
            .await
    }

    /// Makes one call under the deadline and classifies its failure by what can be done about it.
    ///
    /// An API server that has just started denies everything until it has read the roles, so a
    /// denial counts only when it has lasted.
    async fn ask<T, F>(&self, call: impl Fn() -> F) -> Result<T, Asked>
    where
        F: Future<Output = Result<T, kube::Error>>,
    {
        let began = Instant::now();
        let patience = DENIED.min(self.timeout / 2);
        loop {
            match self.ask_once(call()).await {
                Err(Asked::Refused(AccessError::NotAuthorised { cause, .. }))
                    if began.elapsed() < patience =>
                {
                    debug!("the API server denies access: {cause}");
                    sleep(RETRY.min(patience)).await;
                }
                answer => return answer,
            }
        }
    }

    async fn ask_once<T>(
        &self,
        call: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Asked> {
        let url = || self.url.clone();
        match timeout(self.timeout, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(kube::Error::Api(status))) => Err(match status.code {
                401 => Asked::Refused(AccessError::NotAuthenticated {
                    url: url(),
                    cause: short(&status.message),
                }),
                403 => Asked::Refused(AccessError::NotAuthorised {
                    url: url(),
                    cause: short(&status.message),
                }),
                404 => Asked::Absent,
                code => Asked::NoAnswer(format!("HTTP {code} {}", short(&status.message))),
            }),
            Ok(Err(kube::Error::Auth(error))) => {
                Err(Asked::Refused(AccessError::NotAuthenticated {
                    url: url(),
                    cause: one_line(&error),
                }))
            }
            Ok(Err(error)) => Err(Asked::NoAnswer(root_cause(&error))),
            Err(_) => Err(Asked::NoAnswer(SILENCE.to_owned())),
        }
    }
}

enum Asked {
    /// The same call would fail again.
    Refused(AccessError),
    /// 404.
    Absent,
    /// No answer, or one that may change by itself.
    NoAnswer(String),
}

async fn configuration(access: &Access) -> Result<Config, AccessError> {
    let options = KubeConfigOptions {
        context: access.context.clone(),
        ..KubeConfigOptions::default()
    };
    let config = match &access.kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path).map_err(|error| bad(&error))?;
            Config::from_custom_kubeconfig(file, &options)
                .await
                .map_err(|error| bad(&error))
        }
        None => match Config::from_kubeconfig(&options).await {
            Err(KubeconfigError::ReadConfig(..) | KubeconfigError::FindPath)
                if access.context.is_none() =>
            {
                Config::incluster().map_err(|error| AccessError::NoConfig(one_line(&error)))
            }
            other => other.map_err(|error| bad(&error)),
        },
    };
    let mut config = config?;
    config.connect_timeout = Some(access.timeout);
    // Calls have deadlines of their own; the list before a watch has only this one.
    config.read_timeout = Some(LONGEST_SILENCE);
    config.reset_reader_on_write = true;
    // A scale that is retried on a 503 after it was written would conflict with itself. The caller
    // retries.
    config.default_retry = false;
    Ok(config)
}

fn bad(error: &KubeconfigError) -> AccessError {
    AccessError::BadConfig(one_line(error))
}

/// The definitions that are not served, and how to get them.
fn missing(served: &APIResourceList) -> Option<String> {
    let absent: Vec<_> = PLURALS
        .iter()
        .filter(|plural| {
            !served
                .resources
                .iter()
                .any(|resource| resource.name == **plural)
        })
        .map(|plural| format!("{plural}.lagrange.dev"))
        .collect();
    (!absent.is_empty()).then(|| {
        format!("{} not installed: install the chart with crds.install=true, or apply the output of lagrange crd", absent.join(" and "))
    })
}

fn one_line(error: &dyn std::error::Error) -> String {
    short(&error.to_string())
}

/// The innermost error, which names the cause; the outer ones only add where it occurred.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    one_line(innermost)
}

/// One line of bounded length.
fn short(text: &str) -> String {
    text::clean(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests;
