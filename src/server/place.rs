//! Where a request goes before anybody asks who it is. The request path and
//! `explain` ask the same function.

use super::endpoints::Endpoint;
use crate::model::target::{Target, TargetError};
use crate::route::{Found, Route, RouteTable};

#[derive(Debug)]
pub enum Place<'a> {
    /// 421: not a name of ours.
    UnknownHost,
    /// Answered by the gateway itself, never sent upstream.
    Own(Endpoint),
    /// 400: no route of this host takes the path as it is spelt.
    Refused(TargetError),
    /// 404: the host is ours and no route has this path.
    NoRoute,
    /// The policy of this route decides.
    Route(&'a Route),
}

/// Own endpoints come before every route; where no route has the path, the
/// public host answers a few more.
pub fn place<'a>(routes: &'a RouteTable, prefix: &str, target: &Target) -> Place<'a> {
    let found = routes.find(target);
    let public_host = routes.is_public_host(&target.authority);
    if !public_host && matches!(found, Found::UnknownHost) {
        return Place::UnknownHost;
    }
    if let Some(own) = own_path(target.path(), prefix) {
        return Place::Own(Endpoint::find(own, public_host));
    }
    match (found, public_host, target.path()) {
        (Found::Route(route), _, _) => Place::Route(route),
        (Found::Refused(error), _, _) => Place::Refused(error),
        (_, true, "/") => Place::Own(Endpoint::WhoAmI),
        (_, true, "/ping") => Place::Own(Endpoint::Ping),
        (_, true, "/robots.txt") => Place::Own(Endpoint::Robots),
        (Found::NoRoute | Found::UnknownHost, _, _) => Place::NoRoute,
    }
}

/// The part of the path below our prefix, if it lies there.
fn own_path<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}
