//! Routes and people that decisions are tested with.

mod access;
mod lanes;
mod side_by_side;
mod table;

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Decision, DenyReason, RoutePolicy};
use crate::base::clock::Timestamp;
use crate::config::checked;
use crate::model::access::{Access, AccessRule, Lane, LaneRule};
use crate::model::identity::{Groups, Identity, ProviderId};
use crate::model::origin::Authority;
use crate::model::pattern::PathPattern;

fn groups(names: &[&str]) -> Access {
    Access::AnyOf(vec![AccessRule {
        groups: names.iter().map(|name| (*name).to_owned()).collect(),
        ..AccessRule::default()
    }])
}

fn rule(lane: Lane, methods: &str, path: &str) -> LaneRule {
    LaneRule {
        methods: methods
            .split_terminator(',')
            .map(|method| method.parse().unwrap())
            .collect(),
        ..LaneRule::plain(lane, PathPattern::parse(path).unwrap())
    }
}

fn route(access: Option<Access>, rules: Vec<LaneRule>) -> checked::Route {
    checked::Route {
        id: "app".to_owned(),
        hosts: vec![checked::RouteHost::Any],
        path: PathPattern::parse("/*").unwrap(),
        upstream: checked::Upstream::Http(Authority::parse("127.0.0.1:1").unwrap()),
        upstream_tls: Default::default(),
        prefix: Default::default(),
        preserve_host: true,
        access,
        deny: Vec::new(),
        rules,
        encoded_slash: false,
        preflight: Default::default(),
        identity: checked::IdentityRules::default(),
        headers: Vec::new(),
        pass_access_token: false,
        response_timeout: Duration::from_secs(60),
        max_body: None,
    }
}

fn identity(name: &str, known: Groups) -> Identity {
    Identity {
        provider: ProviderId("main".to_owned()),
        issuer: "https://id.test".to_owned(),
        subject: name.to_owned(),
        username: None,
        name: None,
        email: None,
        email_verified: false,
        groups: known,
        claims: BTreeMap::new(),
        provider_session: None,
        read_at: Timestamp::default(),
    }
}

fn known(names: &[&str]) -> Groups {
    Groups::Known(names.iter().map(|name| (*name).to_owned()).collect())
}

fn who(name: &str) -> Option<Identity> {
    match name {
        "-" => None,
        "ann" => Some(identity("ann", known(&["staff", "admins"]))),
        "ben" => Some(identity("ben", known(&["staff"]))),
        "cid" => Some(identity("cid", known(&["STAFF", "staff ", "admins"]))),
        "dot" => Some(identity("dot", Groups::Unknown)),
        "gus" => Some(identity("gus", known(&["staff", "guests"]))),
        _ => panic!("nobody is called {name}"),
    }
}
