//! Runs the command line of the library.

fn main() -> std::process::ExitCode {
    lagrange::cli::main()
}
