//! Parses the command line and hands over; nothing else.

fn main() -> std::process::ExitCode {
    lagrange::cli::main()
}
