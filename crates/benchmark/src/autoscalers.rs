//! The autoscalers of the comparison, and their settings.

use lagrange_core::simulate::{BadBaseline, Baseline};

use crate::scenarios::Scenario;

/// Name of Lagrange.
pub const LAGRANGE: &str = "lagrange";
/// The best plan with the load known in advance: the reference for the others.
pub const CLAIRVOYANT: &str = "clairvoyant";
/// As many replicas as can be given a partition, all the time. No scaling could avoid its late
/// seconds.
pub const STATIC_MAX: &str = "static-max";
/// KEDA with the settings that did best, derived from the capacity of one consumer.
pub const KEDA_TUNED: &str = "keda-tuned";

/// All autoscalers, in the order of the table.
pub const ALL: [&str; 11] = [
    CLAIRVOYANT,
    STATIC_MAX,
    "keda-default",
    KEDA_TUNED,
    "hpa-cpu-70",
    "hpa-cpu-50",
    "flink-default",
    "flink-docs",
    "brandwatch-kpa",
    "numaflow",
    LAGRANGE,
];

/// The autoscaler as `lagrange simulate --compare` takes it, with its settings for a scenario;
/// empty for Lagrange.
pub fn written(name: &str, scenario: &Scenario) -> String {
    // Ten seconds of one consumer's work.
    let lag = (10.0 * scenario.parameters.consumer_rate).round();
    match name {
        STATIC_MAX => "static=max".to_owned(),
        "keda-default" => "keda=lagThreshold:10".to_owned(),
        KEDA_TUNED => format!(
            "keda=lagThreshold:{lag},downWindow:1800,downPercent:10,downPods:1,ensureEvenDistributionOfPartitions:true"
        ),
        "hpa-cpu-70" => "hpa-cpu=70".to_owned(),
        "hpa-cpu-50" => "hpa-cpu=50".to_owned(),
        "flink-default" => "flink".to_owned(),
        // The values of the example in Flink's documentation.
        "flink-docs" => "flink=metricsWindow:300,stabilizationInterval:60,catchUpDuration:300,restartTime:120,utilizationTarget:0.6,utilizationMin:0.4,utilizationMax:0.8".to_owned(),
        "brandwatch-kpa" => format!("kpa=minLag:{lag}"),
        LAGRANGE => String::new(),
        as_it_is => as_it_is.to_owned(),
    }
}

/// The same, parsed.
pub(crate) fn baselines(name: &str, scenario: &Scenario) -> Result<Vec<Baseline>, BadBaseline> {
    Baseline::list(&written(name, scenario))
}
