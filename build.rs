//! Compiles `src/kafka/native/bounds.c` against the very librdkafka that is linked, and has the linker lead librdkafka's calls of a
//! few of its own functions through it: docs/decisions/0011.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// What of librdkafka `bounds.c` stands before.
const WRAPPED: [&str; 5] = [
    "rd_buf_destroy",
    "rd_kafka_broker_update",
    "rd_kafka_transport_framed_recv",
    "rd_kafka_transport_recv",
    "thrd_create",
];

const SOURCE: &str = "src/kafka/native/bounds.c";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={SOURCE}");
    let build = PathBuf::from(variable("DEP_RDKAFKA_ROOT")).join("build");
    let cache = build.join("CMakeCache.txt");
    let cache = fs::read_to_string(&cache).unwrap_or_else(|error| {
        panic!("cannot read {}, which says where librdkafka's headers are (build with the feature cmake-build of rdkafka): {error}", cache.display())
    });
    let of_cmake = |name: &str| {
        let mut lines = cache.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.split_once('='));
        value.map(|(_, value)| PathBuf::from(value))
    };
    let Some(sources) = of_cmake("RdKafka_SOURCE_DIR:") else {
        panic!("librdkafka's CMakeCache.txt does not say where its sources are");
    };
    let mut shim = cc::Build::new();
    shim.file(SOURCE)
        .flag("-std=gnu11")
        .flag("-Werror")
        .define("LIBRDKAFKA_STATICLIB", None);
    // Headers of others: their warnings are not ours.
    let headers = [
        Some(sources.join("src")),
        Some(build.join("generated/dummy")),
        of_cmake("OPENSSL_INCLUDE_DIR:"),
    ];
    for directory in headers.into_iter().flatten() {
        shim.flag("-isystem").flag(existing(&directory));
    }
    shim.compile("lagrange_bounds");
    for function in WRAPPED {
        println!("cargo:rustc-link-arg=-Wl,--wrap={function}");
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn existing(directory: &Path) -> &str {
    assert!(
        directory.is_dir(),
        "{} is no directory: remove librdkafka's build (cargo clean -p rdkafka-sys) and build again",
        directory.display()
    );
    directory.to_str().expect("a path in UTF-8")
}
