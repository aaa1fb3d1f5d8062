//! gRPC by the library that people use (`tests/e2e/grpc.mjs`): a service, and
//! a client that makes each kind of call once.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Map, Value};

use super::gateway::Gateway;
use super::part;
use super::process::Process;

/// The name in the service's certificate.
const NAME: &str = "service.internal";

pub struct Service {
    port: u16,
    /// Of its own certificate, if it speaks TLS.
    certificate: Option<PathBuf>,
    process: Process,
    _folder: tempfile::TempDir,
}

impl Service {
    pub async fn start(with_tls: bool) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let mut command = node();
        command.arg("serve");
        let certificate = with_tls.then(|| {
            let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("certificate");
            let [key, certificate] = ["key.pem", "certificate.pem"].map(|n| folder.path().join(n));
            std::fs::write(&key, made.signing_key.serialize_pem()).expect("writes");
            std::fs::write(&certificate, made.cert.pem()).expect("writes");
            command.arg("--key").arg(key);
            command.arg("--certificate").arg(&certificate);
            certificate
        });
        let mut process = Process::spawn("grpc service", &mut command);
        let line: Value = json(&process.line("\"port\"").await);
        let port = line["port"].as_u64().and_then(|port| port.try_into().ok());
        Self {
            port: port.expect("a port"),
            certificate,
            process,
            _folder: folder,
        }
    }

    /// As a route says it: `upstream` and how its certificate is judged.
    pub fn lines(&self) -> String {
        let at = format!("127.0.0.1:{}", self.port);
        match &self.certificate {
            None => format!("upstream = \"h2c://{at}\""),
            Some(file) => format!(
                "upstream = \"https://{at}\"\n\
                 upstream_tls = {{ ca_file = \"{}\", server_name = \"{NAME}\" }}",
                file.display()
            ),
        }
    }

    /// What it printed so far with this key.
    pub fn told(&self, key: &str) -> Vec<Value> {
        let log = self.process.log();
        let lines = log.lines().filter(|line| line.starts_with('{')).map(json);
        lines.filter(|line| line.get(key).is_some()).collect()
    }
}

/// How each kind of call went, by its name.
pub async fn calls(gateway: &Gateway) -> Map<String, Value> {
    let mut command = node();
    command
        .arg("ask")
        .args(["--address", &gateway.address().to_string()])
        .args(["--authority", "app.localhost"])
        .arg("--ca")
        .arg(gateway.plan().certificate());
    let mut process = Process::spawn("grpc client", &mut command);
    let status = process.ended().await;
    assert!(status.success(), "{}", process.log());
    let log = process.log();
    let lines = log.lines().filter(|line| line.starts_with('{')).map(json);
    lines
        .flat_map(|line| line.as_object().cloned().unwrap_or_default())
        .collect()
}

fn node() -> Command {
    let mut command = Command::new("node");
    command.current_dir(part::e2e_folder()).arg("grpc.mjs");
    command
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).expect("a line of JSON")
}
