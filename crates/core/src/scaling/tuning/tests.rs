use jiff::SignedDuration;

use super::*;

#[test]
fn a_field_is_overridden_and_the_others_stay() {
    let tuning = Tuning::with([
        "surge.risen=1.5",
        "growth.horizon=90s",
        "probe.enabled=false",
    ]);
    let tuning = tuning.unwrap();
    let mut expected = Tuning::DEFAULT;
    expected.surge.risen.0 = 1.5;
    expected.growth.horizon = SignedDuration::from_secs(90);
    expected.probe.enabled = false;
    assert_eq!(tuning, expected);
}

#[test]
fn what_cannot_be_overridden_is_answered_with_what_can() {
    let error = |text| Tuning::with([text]).unwrap_err().to_string();
    insta::assert_snapshot!(
        [
            error("surge"),
            error("surge.rise=2"),
            error("serge.risen=2"),
            error("surge.risen=twice"),
            error("surge.enabled=no"),
            error("growth.line=85"),
            error("growth.horizon=75"),
            error("growth.horizon=-500ms"),
            error("series.points=0"),
            error("probe.most=1s"),
        ]
        .join("\n"),
        @r"
    surge: write field=value, such as surge.risen=1.5
    no field surge.rise; surge has enabled, polls, risen, chance, first_poll
    no field serge.risen; fields are written group.field; the groups are polls, series, arrivals, surge, progress, delayed, handover, skew, capacity, membership, offsets, growth, stall, backlog, shrink, load_history, probe, lag_peaks, flap_backoff, ineffective, pacing
    surge.risen: twice is not possible; write a factor, 0 or more, such as 1.5 (it is × 2)
    surge.enabled: no is not possible; write true or false (it is true)
    growth.line: 85 is not possible; write a share from 0 to 1, such as 0.85 (it is 0.85)
    growth.horizon: 75 is not possible; write a duration such as 90s or 1h (it is 75 s)
    growth.horizon: -500ms is not possible; write a duration such as 90s or 1h (it is 75 s)
    series.points: 0 is not possible; write a whole number from 1 to 100000 (it is 32)
    probe.most is below probe.first
    "
    );
}

/// `make crds` sets UPDATE.
#[test]
fn the_page_of_the_parameters_is_what_they_are() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/reference/tuning.md"
    );
    let page = page();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == page, "{path} is out of date: make crds");
}

const HEAD: &str = "# The numbers that the decision goes by

<!-- Rendered from crates/core/src/scaling/tuning: make crds -->

Users set none of these. They are shown so that a trail can be understood, and so that a change can
be discussed. In `lagrange simulate` and `lagrange decide`, `--tuning group.field=value` overrides
one, and `--tuning group.enabled=false` switches a mechanism off; what each is worth is in
[max-delay.md](../max-delay.md#what-each-mechanism-is-worth). *The model* is the Python program that
the rules were first written as ([decision 8](../decisions/0008-where-the-decision-differs-from-its-model.md)).
Figures of J below are those of that program, on 16 scenarios of its catalogue, on the whole
catalogue of 27, or on drawn scenarios such as 600-659. The simulator that replaced it gives others:
[decision 19](../decisions/0019-one-simulator.md).
";

fn page() -> String {
    let mut page = String::from(HEAD);
    let mut last = "";
    let mut tuning = Tuning::DEFAULT;
    tuning.visit(&mut |group, field, why, value| {
        if group != last {
            let head = "| field | default | why |\n|---|---|---|\n";
            page.extend(["\n## ", group, "\n\n", head]);
            last = group;
        }
        let why = why.trim().replace('|', "\\|");
        let value = value.show();
        page.extend(["| `", field, "` | ", &value, " | ", &why, " |\n"]);
    });
    page
}

/// The page that users read must give the numbers that the rules use.
#[test]
fn the_page_of_max_delay_says_these_numbers() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/max-delay.md");
    let page = std::fs::read_to_string(path).unwrap();
    let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
    let Tuning {
        growth,
        stall,
        shrink,
        capacity,
        ineffective,
        probe,
        series,
        ..
    } = Tuning::DEFAULT;
    let secs = |duration: SignedDuration| duration.as_secs();
    let percent = |share: f64| (share * 100.0).round();
    let sentences = [
        format!(
            "predicted = worst delay + {} s × growth",
            secs(growth.horizon)
        ),
        format!("predicted + stall > {} × maxDelay", growth.line.0),
        format!("at {} % of its capacity", percent(growth.utilisation.0)),
        format!("(`lag / {} s`)", secs(growth.drain)),
        format!(
            "by {} s with KIP-848, by {} s with cooperative assignors, and with the others by {} s and {} s for each further consumer, up to {} s",
            secs(stall.consumer),
            secs(stall.cooperative),
            secs(stall.eager),
            secs(stall.joiner),
            secs(stall.most)
        ),
        format!("`{} + n × stop`", shrink.pair.0),
        format!(
            "`stop` is {} s (KIP-848), {} s (cooperative) or {} s",
            secs(shrink.stop_consumer),
            secs(shrink.stop_cooperative),
            secs(shrink.stop_eager)
        ),
        format!("max({} s, price / (n − m))", secs(shrink.window_least)),
        format!("with {} % of the capacity", percent(1.0 - shrink.margin.0)),
        format!(
            "use at most {} % of what m consumers can do",
            percent(shrink.mean.0)
        ),
        format!("at least {} s of work waiting", secs(capacity.backlog)),
        format!("quiet for {} minutes", secs(probe.first) / 60),
        format!(
            "less than {} % of what it grew by",
            percent(ineffective.gained.0)
        ),
        format!("The history has {} points per partition", series.points),
    ];
    let missing: Vec<&String> = sentences.iter().filter(|s| !page.contains(*s)).collect();
    assert!(missing.is_empty(), "not in max-delay.md: {missing:#?}");
}
