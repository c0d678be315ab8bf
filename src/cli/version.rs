//! What `lagrange --version` says of the build.

use std::sync::LazyLock;

/// The version, and what it was built from.
pub(super) static LONG: LazyLock<String> = LazyLock::new(|| {
    let features = [
        (cfg!(feature = "operator"), "operator"),
        (cfg!(feature = "vendored"), "vendored"),
        (cfg!(feature = "gssapi"), "gssapi"),
    ];
    let features: Vec<&str> = features
        .into_iter()
        .filter_map(|(is_on, name)| is_on.then_some(name))
        .collect();
    let features = if features.is_empty() {
        "none".to_owned()
    } else {
        features.join(", ")
    };
    format!(
        "{}\ncommit: {COMMIT}\nfeatures: {features}\nlibrdkafka: {}",
        env!("CARGO_PKG_VERSION"),
        librdkafka()
    )
});

#[cfg(feature = "operator")]
fn librdkafka() -> String {
    crate::kafka::rdkafka::version()
}

#[cfg(not(feature = "operator"))]
fn librdkafka() -> String {
    "none".to_owned()
}

/// The commit that was built. The image and `make build` name it; another build would have to be
/// made again after each commit.
pub(super) const COMMIT: &str = match option_env!("LAGRANGE_COMMIT") {
    Some(commit) if !commit.is_empty() => commit,
    _ => "unknown (not a release build)",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_long_version_says_what_was_built() {
        let lines: Vec<&str> = LONG.lines().collect();
        assert_eq!(lines[0], env!("CARGO_PKG_VERSION"));
        assert_eq!(lines[1], format!("commit: {COMMIT}"));
        assert!(lines[2].starts_with("features: "), "{lines:?}");
        let librdkafka = lines[3].strip_prefix("librdkafka: ").unwrap();
        assert!(librdkafka.starts_with("2."), "{librdkafka}");
    }
}
