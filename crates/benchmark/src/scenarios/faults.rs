//! The catalogue: faults behind the consumers, in the cluster, and in what can be observed.

use lagrange_core::simulate::LoadError;
use lagrange_core::simulate::plant::parameters::{Downstream, Span, Speed};
use lagrange_core::simulate::plant::{Assignor, Parameters};

use super::catalogue::{about_even, cooperative};
use super::rates::lines;
use super::{HOUR, Scenario, scenario};

/// The scenario of this name, if there is one.
pub(super) fn scenario_named(name: &str) -> Result<Option<Scenario>, LoadError> {
    let found = match name {
        "downstream" => downstream(),
        "slowdeploy" => slow_release(),
        "kill" => kill(),
        "obsfault" => outages(),
        "txn" => transactions(),
        "coldnode" => new_nodes(),
        "backlog" => backlog(),
        "tight848" => tight(),
        _ => return Ok(None),
    };
    found.map(Some)
}

fn downstream() -> Result<Scenario, LoadError> {
    let change = |at, rate| Downstream { at, rate };
    let parameters = Parameters {
        downstream: vec![change(2 * HOUR, Some(900.0)), change(12_600, None)],
        ..about_even(10)
    };
    let why = "what all consumers share does 64 % of the demand for 1.5 h";
    scenario("downstream", why, parameters, 7, |_| 1400.0)
}

fn slow_release() -> Result<Scenario, LoadError> {
    let slower = Speed {
        at: 2 * HOUR,
        factor: 0.6,
    };
    let parameters = Parameters {
        speed: vec![slower],
        ..cooperative(9)
    };
    let why = "a release makes each consumer 40 % slower";
    scenario("slowdeploy", why, parameters, 6, |t| {
        1500.0 + 300.0 * (t / 1800.0).sin()
    })
}

fn kill() -> Result<Scenario, LoadError> {
    let parameters = Parameters {
        leaves_group: false,
        ..about_even(8)
    };
    let points = vec![
        (3600.0, 1000.0),
        (5400.0, 2600.0),
        (10_800.0, 2600.0),
        (12_600.0, 900.0),
    ];
    let why = "pods end without leaving the group: they are missed after 45 s";
    scenario("kill", why, parameters, 6, lines(points))
}

fn outages() -> Result<Scenario, LoadError> {
    let span = |from, to| Span { from, to };
    let parameters = Parameters {
        failed_polls: 0.05,
        missing_partitions: 0.01,
        outages: vec![span(5400, 6000), span(10_800, 11_700)],
        ..about_even(6)
    };
    let points = vec![
        (5400.0, 900.0),
        (6300.0, 2400.0),
        (14_400.0, 2400.0),
        (16_200.0, 900.0),
    ];
    let why = "5 % of the polls fail, partitions are missing, and for 10 minutes of a ramp Kafka cannot be read";
    scenario("obsfault", why, parameters, 6, lines(points))
}

fn transactions() -> Result<Scenario, LoadError> {
    let parameters = Parameters {
        offsets_per_record: 1.25,
        residual_lag: 40,
        ..about_even(6)
    };
    let points = vec![
        (3600.0, 600.0),
        (5400.0, 2400.0),
        (10_800.0, 2400.0),
        (14_400.0, 500.0),
    ];
    let why =
        "markers of transactions: a quarter more offsets, and a lag of 40 that never goes away";
    scenario("txn", why, parameters, 5, lines(points))
}

fn new_nodes() -> Result<Scenario, LoadError> {
    let parameters = Parameters {
        new_node_above: Some(10),
        new_node_seconds: 150,
        ..about_even(6)
    };
    let points = vec![
        (3600.0, 900.0),
        (4500.0, 3000.0),
        (10_800.0, 3000.0),
        (14_400.0, 900.0),
    ];
    let why = "pods beyond ten wait 150 s for a node";
    scenario("coldnode", why, parameters, 5, lines(points))
}

fn backlog() -> Result<Scenario, LoadError> {
    let parameters = Parameters {
        consumers_from_seconds: 3 * HOUR,
        ..about_even(3)
    };
    scenario(
        "backlog",
        "it begins with a backlog of three hours",
        parameters,
        8,
        |_| 800.0,
    )
}

fn tight() -> Result<Scenario, LoadError> {
    let parameters = Parameters {
        assignor: Assignor::Uniform,
        start_seconds: (10.0, 15.0, 25.0),
        ..about_even(8)
    };
    let points = vec![
        (3600.0, 1000.0),
        (4200.0, 2600.0),
        (10_800.0, 2600.0),
        (11_400.0, 1200.0),
    ];
    let why = "KIP-848, pods that start fast, and 20 s";
    let found = scenario("tight848", why, parameters, 6, lines(points))?;
    Ok(Scenario {
        objective: 20,
        ..found
    })
}
