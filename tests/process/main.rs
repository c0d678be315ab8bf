//! The real binary as a child process: its start, its HTTP pages and its end.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests unwrap what they expect"
)]

mod api_server;
mod child;
mod ready;
mod real_api_server;

use std::{
    io::Write as _,
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rstest::rstest;
use serde_json::{Value, json};

use self::{
    api_server::ApiServer,
    child::{Home, get, half_a_request, lagrange, until},
};

#[rstest]
#[case(&["run", "--api-timeout=soon"], "lagrange: invalid value 'soon' for '--api-timeout <DURATION>': write a duration from 1s to 60s, such as 1s")]
#[case(&["run", "--nonsense"], "lagrange: unexpected argument '--nonsense' found; see lagrange --help")]
#[case(&["walk"], "lagrange: unrecognized subcommand 'walk'; see lagrange --help")]
fn a_mistake_on_the_command_line_is_one_line_and_exit_code_2(
    #[case] args: &[&str],
    #[case] line: &str,
) {
    let output = lagrange().args(args).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        format!("{line}\n")
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn a_mistake_in_the_environment_names_the_flag() {
    let output = lagrange()
        .arg("run")
        .env("LAGRANGE_CONCURRENCY", "many")
        .output()
        .unwrap();
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        line.contains("'many' for '--concurrency <COUNT>'"),
        "{line}"
    );
}

#[test]
fn version_and_definitions_go_to_standard_output() {
    let version = |flag: &str| {
        let said = lagrange().arg(flag).output().unwrap();
        assert!(said.status.success());
        String::from_utf8(said.stdout).unwrap()
    };
    let short = format!("lagrange {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(version("-V"), short);
    let long = version("--version");
    assert!(long.starts_with(&short), "{long}");
    for line in ["commit: ", "features: ", "librdkafka: 2."] {
        assert!(long.contains(&format!("\n{line}")), "{long}");
    }

    let definitions = lagrange().arg("crd").output().unwrap();
    assert!(definitions.status.success());
    let text = String::from_utf8(definitions.stdout).unwrap();
    assert_eq!(
        text.matches("kind: CustomResourceDefinition\n").count(),
        2,
        "{text}"
    );
}

#[test]
fn without_a_cluster_the_process_ends_with_the_reason() {
    let home = Home::new();
    let (status, log) = home.run(&[]).ended();
    assert_eq!(status.code(), Some(1));
    assert_last_line(&log, "found no cluster to talk to");
}

#[test]
fn a_missing_kubeconfig_is_named() {
    let home = Home::new();
    let (status, log) = home.run(&["--kubeconfig=/nowhere/config"]).ended();
    assert_eq!(status.code(), Some(1));
    assert_last_line(&log, "cannot use the kubeconfig");
    assert_last_line(&log, "/nowhere/config");
}

#[test]
fn an_absent_api_server_is_tried_until_the_timeout() {
    let home = Home::new();
    home.kubeconfig(closed_port());
    let began = Instant::now();
    let (status, log) = home.run(&["--api-timeout=2s"]).ended();
    assert_eq!(status.code(), Some(1));
    assert_last_line(&log, "gave no answer within 2 s (Connection refused");
    assert!(
        began.elapsed() >= Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn a_silent_api_server_is_tried_until_the_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let home = Home::new();
    home.kubeconfig(silent.local_addr().unwrap());
    let (status, log) = home.run(&["--api-timeout=1s"]).ended();
    assert_eq!(status.code(), Some(1));
    assert_last_line(&log, "gave no answer within 1 s (the request timed out)");
}

/// A denial counts when it has lasted: an API server that has just started denies everything.
#[rstest]
#[case(401, "did not authenticate the operator", false)]
#[case(403, "denies the operator access", true)]
fn a_refusal_by_the_api_server_ends_the_process(
    #[case] code: u16,
    #[case] reason: &str,
    #[case] is_asked_again: bool,
) {
    let api = ApiServer::start();
    api.answers(code, &json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no", "reason": "", "code": code}));
    let (status, log) = api.home.run(&[]).ended();
    assert_eq!(status.code(), Some(1));
    assert_last_line(&log, reason);
    assert_eq!(api.calls() > 1, is_asked_again, "{} calls", api.calls());
}

#[test]
fn a_port_that_stays_in_use_is_reported_before_anything_else() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let home = Home::new();
    let (status, log) = home.run(&[&format!("--listen-address={address}")]).ended();
    assert_eq!(status.code(), Some(1));
    assert_last_line(&log, &format!("cannot listen on {address}"));
    assert_eq!(log.len(), 2, "{log:?}");
    assert!(log[0].contains("the address is in use"), "{log:?}");
}

#[test]
fn a_port_that_the_previous_process_still_holds_is_waited_for() {
    let api = ApiServer::start();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let operator = api.home.run(&[&format!("--listen-address={address}")]);
    operator.logged("the address is in use");
    drop(taken);
    assert_eq!(operator.pages(), address);
    assert_eq!(get(address, "/healthz"), (200, "alive\n".to_owned()));
}

#[test]
fn a_closed_log_pipe_disturbs_neither_the_work_nor_the_end() {
    let api = ApiServer::start();
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut child = lagrange()
        .args([
            "run",
            "--log-filter=trace",
            &format!("--listen-address={address}"),
        ])
        .env("HOME", api.home.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // From now on the process writes to a closed pipe.
    drop((child.stdout.take(), child.stderr.take()));
    until(|| TcpStream::connect(address).is_ok(), |is_up| *is_up);
    assert_eq!(get(address, "/healthz"), (200, "alive\n".to_owned()));
    api.serves(&["consumergroups", "kafkaclusters"]);
    until(
        || get(address, "/readyz").1,
        |text| text.starts_with("waiting for: watch of ConsumerGroups"),
    );
    let pid = child.id().to_string();
    assert!(Command::new("kill").arg(pid).status().unwrap().success());
    let status = until(|| child.try_wait().unwrap(), Option::is_some).unwrap();
    assert!(status.success(), "{status}");
}

#[test]
fn the_exit_code_is_right_with_a_closed_log_pipe() {
    let home = Home::new();
    for flag in ["--log-filter=info", "--log-filter=off", "--nonsense"] {
        let mut child = lagrange()
            .args(["run", "--listen-address=127.0.0.1:0", flag])
            .env("HOME", home.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stderr.take());
        let status = until(|| child.try_wait().unwrap(), Option::is_some).unwrap();
        let wanted = if flag == "--nonsense" { 2 } else { 1 };
        assert_eq!(status.code(), Some(wanted), "{flag}: {status}");
    }
}

#[test]
fn a_thousand_half_requests_block_no_probe_and_use_few_descriptors() {
    let api = ApiServer::start();
    let operator = api.home.run(&[]);
    let pages = operator.pages();
    lagrange::process::descriptors::raise_limit();
    let held: Vec<_> = (0..1_100)
        .map(|_| {
            let mut stream = TcpStream::connect(pages).unwrap();
            stream
                .write_all(b"GET /metrics HTTP/1.1\r\nHost: it\r\n")
                .unwrap();
            stream
        })
        .collect();
    assert_eq!(get(pages, "/healthz"), (200, "alive\n".to_owned()));
    assert_eq!(get(pages, "/readyz").0, 503);
    assert_eq!(get(pages, "/metrics").0, 200);
    let open = operator.descriptors();
    assert!(open < 200, "{open} files are open");
    drop(held);
}

#[test]
fn the_soft_limit_of_open_files_is_raised_to_the_hard_limit() {
    let api = ApiServer::start();
    let home = api.home.path().display().to_string();
    // A common soft limit of a login session.
    let script = r#"ulimit -S -n 256; exec "$0" run --listen-address=127.0.0.1:0"#;
    let mut operator = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_lagrange")])
        .env_clear()
        .env("HOME", home)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let limits = || {
        let text = std::fs::read_to_string(format!("/proc/{}/limits", operator.id())).unwrap();
        let files = text
            .lines()
            .find(|line| line.starts_with("Max open files"))
            .unwrap();
        let numbers: Vec<String> = files
            .split_whitespace()
            .skip(3)
            .map(str::to_owned)
            .collect();
        (numbers[0].clone(), numbers[1].clone())
    };
    until(limits, |(soft, hard)| soft != "256" && soft == hard);
    operator.kill().unwrap();
    operator.wait().unwrap();
}

#[test]
fn a_failed_start_prints_its_reason_with_the_log_off() {
    let home = Home::new();
    let (status, log) = home.run(&["--log-filter=off"]).ended();
    assert_eq!(status.code(), Some(1));
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(
        log[0].starts_with("lagrange: operator failed: found no cluster"),
        "{log:?}"
    );
}

#[test]
fn every_line_of_a_json_log_is_json() {
    let home = Home::new();
    let (_, log) = home.run(&["--log-format=json"]).ended();
    let lines: Vec<Value> = log
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let last = lines.last().unwrap();
    assert_eq!(last["level"], "ERROR");
    assert!(
        last["message"]
            .as_str()
            .unwrap()
            .contains("found no cluster"),
        "{last}"
    );
    assert!(
        last["timestamp"]
            .as_str()
            .unwrap()
            .parse::<jiff::Timestamp>()
            .is_ok(),
        "{last}"
    );
}

#[test]
fn readyz_names_what_is_missing_and_healthz_stays_ok() {
    let api = ApiServer::start();
    api.serves(&["consumergroups"]);
    let operator = api.home.run(&[]);
    let pages = operator.pages();

    let missing = "waiting for: resource definitions (kafkaclusters.lagrange.dev not installed: install the chart with \
                   crds.install=true, or apply the output of lagrange crd), watch of ConsumerGroups,";
    until(
        || get(pages, "/readyz"),
        |(status, text)| *status == 503 && text.starts_with(missing),
    );
    assert_eq!(get(pages, "/healthz"), (200, "alive\n".to_owned()));

    api.serves(&["consumergroups", "kafkaclusters"]);
    // The fake API server serves no watches, so those are still missing. A real one serves them:
    // `the_operator_is_ready_once_definitions_are_served_and_needs_permission_to_list`.
    until(
        || get(pages, "/readyz"),
        |(status, text)| *status == 503 && text.starts_with("waiting for: watch of ConsumerGroups"),
    );
    assert_eq!(get(pages, "/healthz"), (200, "alive\n".to_owned()));
}

#[test]
fn definitions_that_may_not_be_listed_end_the_process() {
    let api = ApiServer::start();
    api.serves(&["consumergroups", "kafkaclusters"]);
    api.forbids("/namespaces/shop/kafkaclusters");
    let (status, log) = api.home.run(&["--watch-namespace=shop"]).ended();
    assert_eq!(status.code(), Some(1));
    assert_last_line(&log, "give the operator's account the chart's role");
}

#[test]
fn metrics_are_served_and_an_unknown_path_returns_the_known_paths() {
    let api = ApiServer::start();
    let operator = api.home.run(&[]);
    let (status, text) = get(operator.pages(), "/metrics");
    assert_eq!(status, 200);
    assert!(text.contains("lagrange_build_info{version="), "{text}");
    assert_eq!(
        get(operator.pages(), "/status"),
        (
            404,
            "no page /status: the pages are /healthz, /readyz and /metrics\n".to_owned()
        )
    );
}

#[rstest]
#[case("TERM")]
#[case("INT")]
fn a_signal_ends_the_process_cleanly(#[case] signal: &str) {
    let api = ApiServer::start();
    let operator = api.home.run(&[]);
    operator.pages();
    let began = Instant::now();
    operator.signal(signal);
    let (status, log) = operator.ended();
    assert!(status.success(), "{status} {log:?}");
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    assert_last_line(&log, "stopped");
}

#[test]
fn sigterm_ends_the_process_while_it_tries_the_api_server() {
    let home = Home::new();
    home.kubeconfig(closed_port());
    let operator = home.run(&["--api-timeout=60s"]);
    operator.pages();
    operator.signal("TERM");
    let (status, log) = operator.ended();
    assert!(status.success(), "{status} {log:?}");
}

#[test]
fn a_client_that_keeps_its_connection_open_does_not_delay_the_end() {
    let api = ApiServer::start();
    let operator = api.home.run(&[]);
    let _held = half_a_request(operator.pages());
    let began = Instant::now();
    operator.signal("TERM");
    let (status, log) = operator.ended();
    assert!(status.success(), "{status} {log:?}");
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let api = ApiServer::start();
    // The process ends within milliseconds, possibly before the second signal. Then the test tries
    // again.
    let (status, log) = (0..10)
        .map(|_| {
            let operator = api.home.run(&["--shutdown-grace=60s"]);
            operator.pages();
            // Both signals are pending when the process continues, in any order. They are of two
            // kinds, because two of the same kind are delivered as one.
            operator.signal("STOP");
            operator.signal("INT");
            operator.signal("TERM");
            operator.signal("CONT");
            operator.ended()
        })
        .find(|(status, _)| !status.success())
        .expect("the second signal never came in time");
    assert_last_line(&log, "second signal, exiting at once");
    let second = log.last().unwrap();
    let number = if second.contains("SIGTERM") { 15 } else { 2 };
    assert_eq!(status.code(), Some(128 + number), "{log:?}");
}

/// An address at which nothing listens. Not a port that was free before: another process may have
/// it by now.
fn closed_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1))
}

#[track_caller]
fn assert_last_line(log: &[String], text: &str) {
    let last = log.last().map(String::as_str).unwrap_or_default();
    assert!(
        last.contains(text),
        "{text:?} is not in the last line of {log:#?}"
    );
}
