//! The `flaggate` binary.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // An error says that a provider is installed already, which is as good.
    rustls::crypto::ring::default_provider().install_default().ok();
    flaggate::cli::main()
}
