//! What is asked: a request as a client would send it, and who sends it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use clap::Args;
use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use serde_json::Value;

use crate::base::clock::Timestamp;
use crate::config::checked::{Config, EmailVerified};
use crate::model::identity::{Groups, Identity, ProviderId};
use crate::model::target::{Target, TargetError};

#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct ExplainSettings {
    /// Method as it would be sent, such as GET
    pub method: String,
    /// Address such as `https://files.example.com/a?b`; a path alone is one of `server.public_url`
    pub url: String,
    /// Somebody who is signed in, by the subject that the provider calls them
    #[arg(long = "as", value_name = "SUBJECT", conflicts_with = "anonymous")]
    pub subject: Option<String>,
    /// Their groups
    #[arg(
        long,
        value_name = "GROUP,…",
        value_delimiter = ',',
        conflicts_with = "anonymous"
    )]
    pub groups: Vec<String>,
    /// The provider did not tell their groups
    #[arg(long, conflicts_with_all = ["anonymous", "groups"])]
    pub groups_unknown: bool,
    /// Their mail address, verified unless the configuration ignores that
    #[arg(long, value_name = "ADDRESS", conflicts_with = "anonymous")]
    pub email: Option<String>,
    /// The provider says that the address is not verified
    #[arg(long, requires = "email")]
    pub email_unverified: bool,
    /// The provider that signed them in [default: the only one]
    #[arg(long, value_name = "ID", conflicts_with = "anonymous")]
    pub provider: Option<String>,
    /// Their login name
    #[arg(long, value_name = "NAME", conflicts_with = "anonymous")]
    pub username: Option<String>,
    /// Their full name
    #[arg(long, value_name = "NAME", conflicts_with = "anonymous")]
    pub name: Option<String>,
    /// A further claim; a value that is JSON is read as such
    #[arg(
        long = "claim",
        value_name = "NAME=VALUE",
        conflicts_with = "anonymous"
    )]
    pub claims: Vec<String>,
    /// Address that the request comes from [default: one that belongs to nobody]
    #[arg(long, value_name = "IP")]
    pub from: Option<IpAddr>,
    /// A header that the request carries, such as a token of the application; repeatable
    #[arg(long = "header", value_name = "NAME:VALUE")]
    pub headers: Vec<String>,
    /// Nobody is signed in [default, unless something is said of a person]
    #[arg(long)]
    pub anonymous: bool,
    /// Configuration file [default: as for serve]
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The question cannot be understood. Exit code 2.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    #[error("\"{0}\" is no address: begin with https://, http:// or /")]
    Address(String),
    #[error("\"{0}\" is no claim: write name=value")]
    Claim(String),
    #[error("\"{0}\" is no header: write name:value")]
    Header(String),
    #[error("\"{id}\" is no provider; there are: {known}")]
    Provider { id: String, known: String },
    #[error("there are several providers; add --provider, one of: {0}")]
    WhichProvider(String),
}

/// Why a request gets no further than its own bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Not even a request line: the HTTP parser answers 400 by itself.
    NotHttp,
    Target(TargetError),
}

/// Stands for an address somewhere else: it is reserved for documentation
/// (RFC 5737 section 3).
const SOMEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

impl ExplainSettings {
    /// Where the request comes from.
    pub fn client(&self) -> IpAddr {
        self.from.unwrap_or(SOMEWHERE)
    }

    /// What the request carries besides Host.
    ///
    /// # Errors
    /// Text that is no header.
    pub fn request_headers(&self) -> Result<HeaderMap, QuestionError> {
        let mut headers = HeaderMap::new();
        for text in &self.headers {
            let header = text.split_once(':').and_then(|(name, value)| {
                let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
                Some((name, HeaderValue::from_str(value.trim()).ok()?))
            });
            // Never repeated in the message: it may be a token.
            let name = || text.split(':').next().unwrap_or_default().to_owned();
            let (name, value) = header.ok_or_else(|| QuestionError::Header(name()))?;
            headers.append(name, value);
        }
        Ok(headers)
    }

    /// The request as it arrives: origin form and Host, byte for byte.
    ///
    /// # Errors
    /// What was typed is no address at all.
    pub fn target(
        &self,
        config: &Config,
        headers: &HeaderMap,
    ) -> Result<Result<Target, Refusal>, QuestionError> {
        let public = config.server.public_url.to_string();
        let url = if self.url.starts_with('/') {
            format!("{public}{}", self.url)
        } else {
            self.url.clone()
        };
        let after_scheme = ["https://", "http://"].into_iter().find_map(|scheme| {
            let (start, rest) = url.split_at_checked(scheme.len())?;
            start.eq_ignore_ascii_case(scheme).then_some(rest)
        });
        let rest = after_scheme.ok_or_else(|| QuestionError::Address(self.url.clone()))?;
        let (authority, path) = match rest.find(['/', '?', '#']) {
            Some(at) if rest[at..].starts_with('/') => (&rest[..at], rest[at..].to_owned()),
            Some(at) => (&rest[..at], format!("/{}", &rest[at..])),
            None => (rest, "/".to_owned()),
        };
        Ok(parse(&self.method, authority, &path, headers))
    }

    /// Who asks; `None` is nobody.
    ///
    /// # Errors
    /// A provider that is not there, or a claim without a value.
    pub fn identity(&self, config: &Config) -> Result<Option<Identity>, QuestionError> {
        let Self {
            method: _,
            url: _,
            subject,
            groups,
            groups_unknown,
            email,
            email_unverified,
            provider,
            username,
            name,
            claims,
            from: _,
            headers: _,
            anonymous: _,
            config: _,
            json: _,
        } = self;
        let said = subject.is_some()
            || !groups.is_empty()
            || *groups_unknown
            || email.is_some()
            || provider.is_some()
            || username.is_some()
            || name.is_some()
            || !claims.is_empty();
        if !said {
            return Ok(None);
        }
        let known: Vec<&str> = config.providers.keys().map(|id| id.0.as_str()).collect();
        let known = known.join(", ");
        let provider = match provider {
            Some(id) => config
                .providers
                .get(&ProviderId(id.clone()))
                .ok_or_else(|| QuestionError::Provider {
                    id: id.clone(),
                    known: known.clone(),
                })?,
            None => {
                let mut all = config.providers.values();
                match (all.next(), all.next()) {
                    (Some(only), None) => only,
                    _ => return Err(QuestionError::WhichProvider(known)),
                }
            }
        };
        let claims = claims.iter().map(|claim| {
            let (name, value) = claim
                .split_once('=')
                .filter(|(name, _)| !name.is_empty())
                .ok_or_else(|| QuestionError::Claim(claim.clone()))?;
            let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
            Ok((name.to_owned(), value))
        });
        // Who is described here has no more claims than these.
        let none = provider.claims.extra.iter().cloned();
        let mut known: BTreeMap<String, Value> =
            none.map(|name| (name, Value::Array(Vec::new()))).collect();
        known.extend(claims.collect::<Result<BTreeMap<_, _>, _>>()?);
        Ok(Some(Identity {
            provider: provider.id.clone(),
            issuer: provider.issuer.clone(),
            subject: subject.clone().unwrap_or_else(|| "somebody".to_owned()),
            username: username.clone(),
            name: name.clone(),
            email: email.clone(),
            email_verified: match provider.email_verified {
                EmailVerified::Require => !email_unverified,
                EmailVerified::Trust => true,
                EmailVerified::Ignore => false,
            },
            groups: if *groups_unknown {
                Groups::Unknown
            } else {
                Groups::Known(groups.clone())
            },
            claims: known,
            provider_session: None,
            read_at: Timestamp::default(),
        }))
    }
}

fn parse(
    method: &str,
    authority: &str,
    path: &str,
    headers: &HeaderMap,
) -> Result<Target, Refusal> {
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| Refusal::NotHttp)?;
    let uri: Uri = path.parse().map_err(|_| Refusal::NotHttp)?;
    let mut headers = headers.clone();
    let host = HeaderValue::from_str(authority).map_err(|_| Refusal::NotHttp)?;
    headers.append(HOST, host);
    Target::parse(&method, &uri, &headers).map_err(Refusal::Target)
}

#[cfg(test)]
mod tests;
