//! The catalogue: loads with simple shapes, uneven partitions, several topics, added partitions.
//! The highest demand is 60 to 85 % of what one consumer per partition could do, unless the
//! scenario says otherwise.

use std::collections::BTreeMap;
use std::f64::consts::TAU;

use lagrange_core::simulate::plant::parameters::{Expansion, Stuck};
use lagrange_core::simulate::plant::{Assignor, Parameters};
use lagrange_core::simulate::{Destination, Load, LoadError};

use super::rates::{even, lines, zipf};
use super::{HOUR, Scenario, base, faults, orders, recorded, scenario};
use crate::mersenne::Random;

/// The scenarios by theme.
pub const GROUPS: [(&str, &[&str]); 5] = [
    (
        "shapes",
        &[
            "step", "ramp", "spike", "diurnal", "sawtooth", "square10", "square60", "flat", "noisy",
        ],
    ),
    ("skew", &["zipf", "hot", "stuck"]),
    ("structure", &["expansion", "multitopic", "prime17"]),
    (
        "faults",
        &[
            "downstream",
            "slowdeploy",
            "kill",
            "obsfault",
            "txn",
            "coldnode",
            "backlog",
            "tight848",
        ],
    ),
    ("traces", &["nasa", "taxi", "aapl", "azurellm"]),
];

/// All names, in the order of the groups.
pub fn names() -> Vec<&'static str> {
    let groups = GROUPS.iter().flat_map(|(_, names)| names.iter());
    groups.copied().collect()
}

/// The scenario of this name, if there is one.
pub(super) fn scenario_named(name: &str) -> Result<Option<Scenario>, LoadError> {
    let of_this_file = match name {
        "step" => step(),
        "ramp" => ramp(),
        "spike" => spike(),
        "diurnal" => diurnal(),
        "sawtooth" => sawtooth(),
        "square10" => square(
            name,
            "the load swings, with a period of 10 minutes",
            300.0,
            1100.0,
        ),
        "square60" => square(
            name,
            "the load swings, with a period of an hour",
            1800.0,
            1000.0,
        ),
        "flat" => level(
            name,
            "nothing happens: any rescale is waste",
            16,
            1500.0,
            0.06,
        ),
        "noisy" => level(
            name,
            "slow noise of 25 % around a constant",
            10,
            1800.0,
            0.25,
        ),
        "zipf" => uneven(),
        "hot" => hot(),
        "stuck" => stuck(),
        "expansion" => expansion(),
        "multitopic" => multitopic(),
        "prime17" => prime17(),
        _ => {
            return match faults::scenario_named(name)? {
                None => recorded::scenario_named(name),
                found => Ok(found),
            };
        }
    };
    of_this_file.map(Some)
}

/// 24 about even partitions, the same ones in each scenario.
pub(super) fn about_even(replicas: i32) -> Parameters {
    orders(even(24, &mut Random::new(5)), replicas)
}

/// The same with an assignor that stops only moved partitions.
pub(super) fn cooperative(replicas: i32) -> Parameters {
    Parameters {
        assignor: Assignor::CooperativeSticky,
        ..about_even(replicas)
    }
}

fn step() -> Result<Scenario, LoadError> {
    let rate = |t| {
        if (3600.0..10_800.0).contains(&t) {
            3200.0
        } else {
            1100.0
        }
    };
    scenario(
        "step",
        "threefold, and back after two hours",
        about_even(8),
        6,
        rate,
    )
}

fn ramp() -> Result<Scenario, LoadError> {
    let points = vec![
        (1800.0, 600.0),
        (5400.0, 3600.0),
        (9000.0, 3600.0),
        (12_000.0, 700.0),
    ];
    scenario(
        "ramp",
        "sixfold within an hour, down within 50 minutes",
        about_even(4),
        4,
        lines(points),
    )
}

fn spike() -> Result<Scenario, LoadError> {
    let rate = |t| {
        let is_high = [3000.0, 9000.0, 16_000.0]
            .iter()
            .any(|from| (*from..from + 300.0).contains(&t));
        if is_high { 3800.0 } else { 900.0 }
    };
    scenario(
        "spike",
        "fourfold for five minutes, three times",
        about_even(6),
        6,
        rate,
    )
}

fn diurnal() -> Result<Scenario, LoadError> {
    let rate = |t: f64| {
        let angle = TAU * (t - 10_800.0) / 86_400.0;
        400.0 + 3000.0 * (0.5 - 0.5 * angle.cos()).powf(1.5)
    };
    scenario("diurnal", "a day, eight to one", cooperative(4), 24, rate)
}

fn sawtooth() -> Result<Scenario, LoadError> {
    let rate = |t: f64| 600.0 + 2800.0 * (t % 2400.0 / 2400.0);
    scenario(
        "sawtooth",
        "ramps of 40 minutes, each with a cliff",
        about_even(6),
        4,
        rate,
    )
}

fn square(name: &str, why: &str, half: f64, low: f64) -> Result<Scenario, LoadError> {
    let rate = |t: f64| {
        if t % (2.0 * half) >= half {
            3000.0
        } else {
            low
        }
    };
    let is_slow = half > 600.0;
    let parameters = if is_slow {
        cooperative(8)
    } else {
        about_even(8)
    };
    scenario(name, why, parameters, if is_slow { 6 } else { 4 }, rate)
}

fn level(
    name: &str,
    why: &str,
    replicas: i32,
    rate: f64,
    noise: f64,
) -> Result<Scenario, LoadError> {
    let parameters = Parameters {
        noise,
        ..about_even(replicas)
    };
    scenario(name, why, parameters, 6, |_| rate)
}

fn uneven() -> Result<Scenario, LoadError> {
    let parameters = Parameters {
        assignor: Assignor::RoundRobin,
        ..orders(zipf(24, 0.7, &mut Random::new(7)), 6)
    };
    let points = vec![
        (3600.0, 450.0),
        (5400.0, 1050.0),
        (14_400.0, 1050.0),
        (18_000.0, 450.0),
    ];
    scenario(
        "zipf",
        "partitions by Zipf's law",
        parameters,
        6,
        lines(points),
    )
}

fn hot() -> Result<Scenario, LoadError> {
    let parameters = Parameters {
        assignor: Assignor::CooperativeSticky,
        ..orders(vec![1.0; 24], 10)
    };
    let all: Vec<(f64, f64)> = vec![(0.0, 1500.0), (25_200.0, 1500.0)];
    // 260 records per second instead of 62.5.
    let more = |t: f64| {
        if (7200.0..14_400.0).contains(&t) {
            197.5
        } else {
            0.0
        }
    };
    let more = (0..=7 * 3600_u32).map(f64::from).map(|t| (t, more(t)));
    let fifth = Destination::Partition("orders".to_owned(), 5);
    Ok(Scenario {
        name: "hot".to_owned(),
        why: "one partition gets 1.3 consumers' work for two hours: nobody can help it".to_owned(),
        parameters,
        objective: 60,
        load: Load::of(vec![
            (Destination::Everywhere, all),
            (fifth, more.collect()),
        ])?,
    })
}

fn stuck() -> Result<Scenario, LoadError> {
    let parameters = Parameters {
        stuck: vec![Stuck {
            topic: "orders".to_owned(),
            partition: 7,
            from: 5400,
            to: 4 * HOUR,
        }],
        ..about_even(10)
    };
    let points = vec![
        (7200.0, 1400.0),
        (8400.0, 2200.0),
        (14_400.0, 2200.0),
        (18_000.0, 1200.0),
    ];
    let why =
        "a poison pill: one partition makes no progress for 2.5 h, and is left out of what is late";
    scenario("stuck", why, parameters, 6, lines(points))
}

fn expansion() -> Result<Scenario, LoadError> {
    let parameters = Parameters {
        topics: BTreeMap::from([("orders".to_owned(), 12)]),
        expansions: vec![Expansion {
            at: 2 * HOUR,
            topic: "orders".to_owned(),
            partitions: 24,
        }],
        assignor: Assignor::CooperativeSticky,
        ..orders(vec![1.0; 24], 8)
    };
    let points = vec![
        (0.0, 1400.0),
        (7200.0, 1900.0),
        (9000.0, 3400.0),
        (14_400.0, 3400.0),
        (16_200.0, 1500.0),
    ];
    let why = "from 12 to 24 partitions after two hours, then more load than 12 consumers can do";
    scenario("expansion", why, parameters, 5, lines(points))
}

fn multitopic() -> Result<Scenario, LoadError> {
    let topics = [
        ("a".to_owned(), vec![0.7 / 12.0; 12]),
        ("b".to_owned(), vec![0.3 / 6.0; 6]),
    ];
    let points = vec![
        (3600.0, 700.0),
        (5400.0, 1500.0),
        (14_400.0, 1500.0),
        (18_000.0, 500.0),
    ];
    let why = "12 and 6 partitions under range: 12 replicas can be given something, not 18";
    scenario(
        "multitopic",
        why,
        base(BTreeMap::from(topics), 6),
        6,
        lines(points),
    )
}

fn prime17() -> Result<Scenario, LoadError> {
    let parameters = orders(even(17, &mut Random::new(5)), 6);
    let points = vec![
        (3600.0, 700.0),
        (7200.0, 2000.0),
        (14_400.0, 2000.0),
        (18_000.0, 800.0),
    ];
    let why = "17 partitions: 1, 2, 3, 4, 5, 6, 9 and 17 replicas make a difference";
    scenario("prime17", why, parameters, 6, lines(points))
}
