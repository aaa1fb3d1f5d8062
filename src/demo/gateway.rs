//! The ordinary gateway in front of the demonstration, as its configuration
//! says it, and the words that are printed when it stands.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

pub(super) const CLIENT_ID: &str = "vestibule-demo";
pub(super) const PREFIX: &str = "/oauth2";

pub(super) struct Gateway<'a> {
    pub(super) port: u16,
    pub(super) data_dir: &'a Path,
    pub(super) token_life: Duration,
    pub(super) secret_file: &'a Path,
    pub(super) application: SocketAddr,
    pub(super) provider: SocketAddr,
    pub(super) provider_pages: SocketAddr,
}

impl Gateway<'_> {
    /// TOML.
    pub(super) fn config(&self) -> String {
        let Self {
            port,
            application,
            provider,
            provider_pages,
            ..
        } = self;
        let data_dir = quoted(self.data_dir);
        let secret_file = quoted(self.secret_file);
        format!(
            r#"[server]
listen = ["127.0.0.1:{port}"]
public_url = "http://app.localhost:{port}"
prefix = "{PREFIX}"

[admin]
listen = "127.0.0.1:0"

[session]
store = "embedded"
path = {data_dir}

[provider.demo]
kind = "oidc"
name = "Demo ID"
issuer = "http://id.localhost:{port}"
internal_url = "http://{provider}"
client_id = "{CLIENT_ID}"
client_secret_file = {secret_file}
scopes = ["openid", "profile", "email", "groups"]

[route.app]
host = "app.localhost:{port}"
upstream = "http://{application}"
access = "signed-in"
pass_access_token = true
rules = [
  {{ path = "/admin", lane = "session", access = [ {{ groups = ["admins"] }} ] }},
]

[route.id]
host = "id.localhost:{port}"
upstream = "http://{provider_pages}"
identity = "none"
rules = [
  {{ path = "/*", lane = "public" }},
]

[pages]
name = "Vestibule demo"

[log]
access = false

[limits]
drain = "2s"
"#
        )
    }

    pub(super) fn greeting(&self) -> String {
        let port = self.port;
        format!(
            "The demonstration is ready.

  Open          http://app.localhost:{port}/
  From afar     ssh -L {port}:localhost:{port} this-machine, then open the same address

  Continue as Ann (she is in admins) or as Ben (he is not), then try:
    - watch the refresh counter: access tokens live for {} seconds, you notice nothing
    - stop the provider for 30 seconds, fail the next refresh: you stay signed in
    - end your session elsewhere: the next click asks you to sign in
    - open the admin page as Ben: the gateway refuses it, the application never sees it
    - stop this program and start it again: you are still signed in

  Data is kept in {}
  Ctrl-C ends it.
",
            self.token_life.as_secs(),
            self.data_dir.display()
        )
    }
}

fn quoted(path: &Path) -> String {
    toml::Value::String(path.to_string_lossy().into_owned()).to_string()
}
