//! Addresses in the configuration: origins, listening addresses, networks.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;

use super::checked::ListenAddr;
use super::problems::Findings;
use crate::model::origin::{Authority, Origin, Scheme};

/// What is wrong with a text, and what to write instead.
pub(super) struct Complaint {
    pub(super) what: String,
    pub(super) cure: String,
}

impl Complaint {
    pub(super) fn new(what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            cure: cure.into(),
        }
    }
}

/// `https://host[:port]` and nothing more; a lone final slash is let pass.
pub(super) fn origin(text: &str) -> Result<(Scheme, Authority), Complaint> {
    // first of all, so that no password gets into another message
    if let Some((_, host)) = text.rsplit_once('@') {
        return Err(Complaint::new(
            "holds a user name or password",
            format!("write \"https://{host}\" or \"http://{host}\""),
        ));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(Complaint::new(
            format!("\"{text}\" has no scheme"),
            format!("write \"https://{text}\""),
        ));
    };
    let scheme = match scheme {
        "https" => Scheme::Https,
        "http" => Scheme::Http,
        _ => {
            return Err(Complaint::new(
                format!("\"{scheme}\" is not a scheme that fits here"),
                format!("write \"https://{rest}\" or \"http://{rest}\""),
            ));
        }
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at(end);
    if !matches!(after, "" | "/") {
        return Err(Complaint::new(
            format!("goes on after the host: \"{after}\""),
            format!("write \"{}://{authority}\"", scheme.as_str()),
        ));
    }
    match Authority::parse(authority) {
        Ok(authority) => Ok((scheme, authority)),
        Err(error) => Err(Complaint::new(
            format!("\"{authority}\" is {error}"),
            "write a host name, and a port where it is not the usual one; names in other alphabets in their xn-- form",
        )),
    }
}

/// An origin under `key`, or its fault.
pub(super) fn checked_origin(text: &str, key: &str, findings: &mut Findings) -> Option<Origin> {
    match origin(text) {
        Ok((scheme, authority)) => Some(Origin::new(scheme, authority)),
        Err(complaint) => {
            findings.error(key, complaint.what, complaint.cure);
            None
        }
    }
}

/// `127.0.0.1:4180`, `[::1]:4180`.
pub(super) fn socket(text: &str) -> Result<SocketAddr, Complaint> {
    text.parse().map_err(|_| {
        let port = text.rsplit(':').next().filter(|port| port.parse::<u16>().is_ok());
        let cure = match (port, text.starts_with("localhost:")) {
            (Some(port), true) => format!("write \"127.0.0.1:{port}\""),
            (Some(port), false) if text.starts_with(':') || text.starts_with("*:") || text == port => {
                format!("write \"0.0.0.0:{port}\" for every address, \"127.0.0.1:{port}\" for this machine only")
            }
            _ => "write an IP address and a port, such as \"127.0.0.1:4180\"".to_owned(),
        };
        Complaint::new(format!("\"{text}\" is not an IP address with a port"), cure)
    })
}

pub(super) fn listen(text: &str) -> Result<ListenAddr, Complaint> {
    if text == "systemd" {
        return Err(Complaint::new(
            "\"systemd\" is not built yet",
            "write an address such as \"127.0.0.1:4180\", or \"unix:/run/vestibule.sock\"",
        ));
    }
    if let Some(path) = text.strip_prefix("unix:") {
        if !path.starts_with('/') {
            return Err(Complaint::new(
                "names a socket by a relative path",
                "write the whole path: \"unix:/run/vestibule.sock\"",
            ));
        }
        return Ok(ListenAddr::Unix(PathBuf::from(path)));
    }
    socket(text).map(ListenAddr::Tcp)
}

const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];
const PRIVATE: [&str; 4] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];

/// One entry of a list of networks: a CIDR, an address, `loopback` or
/// `private`.
pub(super) fn networks(text: &str) -> Result<Vec<IpNet>, Complaint> {
    let named: &[&str] = match text {
        "loopback" => &LOOPBACK,
        "private" => &PRIVATE,
        _ => &[],
    };
    if !named.is_empty() {
        return Ok(named.iter().filter_map(|net| net.parse().ok()).collect());
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(vec![IpNet::from(address)]);
    }
    let Ok(network) = text.parse::<IpNet>() else {
        return Err(Complaint::new(
            format!("\"{text}\" is not a network"),
            "write a CIDR such as \"10.0.0.0/8\", an IP address, \"loopback\" or \"private\"",
        ));
    };
    if network.prefix_len() == 0 {
        return Err(Complaint::new(
            format!("\"{text}\" is the whole internet: everybody could claim any client address"),
            "name the addresses of the proxies that stand directly in front of the gateway",
        ));
    }
    if network.trunc() != network {
        return Err(Complaint::new(
            format!("\"{text}\" has bits beyond its prefix"),
            format!("write \"{}\", or the address alone", network.trunc()),
        ));
    }
    Ok(vec![network])
}
