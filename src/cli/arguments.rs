//! What was typed.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::explain::ExplainSettings;

/// Signs people in with your OpenID Connect provider, keeps their session, and
/// forwards each request with a proven identity to the application behind it.
#[derive(Debug, Parser)]
#[command(
    name = "vestibule",
    bin_name = "vestibule",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "Begin with `vestibule demo`: it needs no configuration.\n\
                  Exit codes: 0 fine, 1 the thing checked is wrong, 2 wrong usage."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Try it: gateway, provider and application in one process on this machine
    ///
    /// Listens on 127.0.0.1 only, needs no configuration and no network, and
    /// keeps its data between runs.
    Demo(DemoSettings),
    /// Run the gateway
    Serve {
        /// Configuration file [default: ./vestibule.toml, then /etc/vestibule/vestibule.toml]
        #[arg(long, short, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Check the configuration and say who gets in where
    ///
    /// Reports every fault at once, each with its key, its line and a cure.
    /// Changes nothing and calls nobody, except with --live.
    Check {
        /// Also ask the providers, the session store and the applications
        ///
        /// Tells whether the provider can be reached and is the right one,
        /// whether its keys can be used, whether the clocks agree, and whether
        /// it accepts the client secret (it is sent one made-up code that
        /// begins with "vestibule-check-"); whether the store takes writes
        /// and keeps them; whether each application accepts connections.
        /// A gateway may run meanwhile.
        #[arg(long)]
        live: bool,
        /// Configuration file [default: ./vestibule.toml, then /etc/vestibule/vestibule.toml]
        #[arg(long, short, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Say what would happen to a request, and why
    ///
    /// Asks the same code as the gateway does. Changes nothing and calls nobody.
    /// Exit codes: 0 the request reaches an application, 1 it does not, 2 wrong usage or a faulty configuration.
    Explain(Box<ExplainSettings>),
    /// Say what happened to a sign-in or a session, and what comes next
    ///
    /// Takes the code at the end of a page about a sign-in that came back from
    /// the provider, or `login.attempt` or `session.reference` of the log. A
    /// sign-in that could not start and any other request have no history:
    /// look for their code in the log (`ref` in the access log, elsewhere
    /// `login.attempt` or `reference`). Reads the session store; a gateway may
    /// run meanwhile. Remembered are the last 16 events: of sign-ins for 7
    /// days, of sessions until 7 days after their end.
    /// Exit codes: 0 something is known, 1 nothing is, 2 wrong usage or a faulty configuration.
    Why(WhySettings),
    /// Print the JSON Schema of the configuration, for editors
    Schema,
    /// Keys that seal sessions
    #[command(subcommand)]
    Keys(KeysCommand),
    /// User names and mail addresses that applications know people by
    #[command(subcommand)]
    Names(NamesCommand),
    /// Ask a running gateway whether it is alive; for containers without curl
    Healthcheck {
        /// Configuration file that names admin.listen [default: as for serve]
        #[arg(long, short, value_name = "FILE", conflicts_with = "address")]
        config: Option<PathBuf>,
        /// Address of the admin listener; without it the configuration is read
        #[arg(long, value_name = "ADDRESS:PORT")]
        address: Option<SocketAddr>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct DemoSettings {
    /// Port on 127.0.0.1
    #[arg(long, default_value_t = 4180)]
    pub port: u16,
    /// Folder for its data [default: vestibule-demo below the state folder of this user]
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// Seconds that the demo's access tokens live
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(5..=3600))]
    pub token_lifetime: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct WhySettings {
    /// Attempt id or session reference, as a page or the log shows it
    #[arg(value_name = "REF")]
    pub reference: String,
    /// Configuration file [default: as for serve]
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum KeysCommand {
    /// Print a new key; as the first line of a key file it writes, as any other it reads
    Generate,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum NamesCommand {
    /// Let the next person who brings a name have it
    ///
    /// With user_from = "username" or "email" a name belongs to the first
    /// person who brings it, and others are refused (`username_taken`).
    Release(ReleaseSettings),
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ReleaseSettings {
    /// The user name, in any spelling
    #[arg(
        long,
        value_name = "NAME",
        required_unless_present = "email",
        conflicts_with = "email"
    )]
    pub username: Option<String>,
    /// The mail address, in any spelling
    #[arg(long, value_name = "ADDRESS")]
    pub email: Option<String>,
    /// Configuration file [default: as for serve]
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Reads the arguments, the program's own name first. Wrong usage and
/// `--help` end the process with their message (exit codes 2 and 0).
pub fn parse(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Command {
    Arguments::parse_from(arguments).command
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn commands_are_read() {
        Arguments::command().debug_assert();
        assert_eq!(
            parse(["vestibule", "demo"]),
            Command::Demo(DemoSettings {
                port: 4180,
                data_dir: None,
                token_lifetime: 60
            })
        );
        assert_eq!(
            parse(["vestibule", "serve", "--config", "a.toml"]),
            Command::Serve {
                config: Some("a.toml".into())
            }
        );
        assert_eq!(
            parse(["vestibule", "check", "--live"]),
            Command::Check {
                live: true,
                config: None
            }
        );
        assert_eq!(
            parse(["vestibule", "keys", "generate"]),
            Command::Keys(KeysCommand::Generate)
        );
        assert!(Arguments::try_parse_from(["vestibule", "serv"]).is_err());
    }
}
