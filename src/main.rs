//! The program `daskflow`.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Named here, because more than one provider in the tree would make TLS panic at its first use.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return ExitCode::FAILURE;
    }
    daskflow::cli::run()
}
