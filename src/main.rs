//! The gateway's one binary; everything lives in the library.

fn main() -> std::process::ExitCode {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("nothing else has installed a provider yet");
    vestibule::cli::main()
}
