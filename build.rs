//! Compiles `src/kafka/rdkafka/native/interpose.c` against the librdkafka that is linked, and has
//! the linker route librdkafka's calls of a few of its own functions through it:
//! docs/decisions/0011.

use std::env;
use std::fs;
use std::path::PathBuf;

/// The functions of librdkafka that `interpose.c` wraps.
const WRAPPED: [&str; 8] = [
    "rd_buf_destroy",
    "rd_kafka_ListGroupsRequest",
    "rd_kafka_broker_update",
    "rd_kafka_buf_new_shadow",
    "rd_kafka_parse_Metadata_admin",
    "rd_kafka_transport_framed_recv",
    "rd_kafka_transport_recv",
    "thrd_create",
];

const SOURCE: &str = "src/kafka/rdkafka/native/interpose.c";

fn main() -> Result<(), String> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={SOURCE}");
    if env::var_os("CARGO_FEATURE_OPERATOR").is_none() {
        return Ok(());
    }
    let root = env::var("DEP_RDKAFKA_ROOT")
        .map_err(|error| format!("rdkafka-sys does not say where it was built: {error}"))?;
    let build = PathBuf::from(root).join("build");
    let cache = build.join("CMakeCache.txt");
    let cache = fs::read_to_string(&cache).map_err(|error| {
        let cache = cache.display();
        format!("{cache}, which says where librdkafka's headers are (feature cmake-build): {error}")
    })?;
    let of_cmake = |name: &str| {
        let mut lines = cache.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.split_once('='));
        value.map(|(_, value)| PathBuf::from(value))
    };
    let sources = of_cmake("RdKafka_SOURCE_DIR:")
        .ok_or("CMakeCache.txt does not say where librdkafka's sources are")?;
    let headers = [
        Some(sources.join("src")),
        Some(build.join("generated/dummy")),
        of_cmake("OPENSSL_INCLUDE_DIR:"),
    ];
    let mut shim = cc::Build::new();
    shim.file(SOURCE)
        .flag("-std=gnu11")
        .flag("-Werror")
        .define("LIBRDKAFKA_STATICLIB", None);
    for directory in headers.into_iter().flatten() {
        if !directory.is_dir() {
            return Err(format!(
                "{} is no directory: remove librdkafka's build (cargo clean -p rdkafka-sys) and build again",
                directory.display()
            ));
        }
        // Headers of others: their warnings are not ours.
        shim.flag("-isystem").flag(&directory);
    }
    shim.try_compile("lagrange_bounds")
        .map_err(|error| format!("{SOURCE} does not fit this librdkafka: {error}"))?;
    for function in WRAPPED {
        println!("cargo:rustc-link-arg=-Wl,--wrap={function}");
    }
    Ok(())
}
