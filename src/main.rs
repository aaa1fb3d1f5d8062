//! The gateway's one binary; everything lives in the library.

/// A tenth of a request is asking for memory and giving it back; and it gives
/// what idle connections used back to the system.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("nothing else has installed a provider yet");
    vestibule::cli::main()
}
