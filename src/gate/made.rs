//! What is made of one reading of a session and serves all its requests: what
//! the policy says of this person, and the headers that a route tells.

use std::sync::atomic::{AtomicU64, Ordering};

use super::chain::Chain;
use crate::base::clock::Timestamp;
use crate::identity_headers::{Injection, ReadyHeaders};
use crate::policy::{Decision, LaneMatch, Standing};
use crate::session::sessions::Session;

/// An entry of the list and what its headers take, apart from their values.
const OVERHEAD: usize = 256;

/// Kept with the reading, and gone with it.
#[derive(Default)]
pub(super) struct Made {
    standings: Chain<Standing>,
    told: Chain<Told>,
}

struct Told {
    injection: u32,
    ready: ReadyHeaders,
    /// Then the name must be asked for again, or the access token has ended.
    until: AtomicU64,
}

/// The decision about somebody who is signed in. What depends on this
/// person alone is worked out once for each of a route's rules.
pub(super) fn decide(
    lane: &LaneMatch<'_>,
    session: &Session,
    client: std::net::IpAddr,
) -> Decision {
    let person = Some(&*session.identity);
    let (Some(rules), Some(made)) = (lane.keepable(), session.kept::<Made>()) else {
        return lane.decide(person, client);
    };
    if let Some(standing) = made.standings.find(|known| known.is_of(rules)) {
        return lane.decide_as(*standing);
    }
    let standing = lane.standing(&session.identity, client, rules);
    if made.standings.add(standing) {
        session.kept_more(OVERHEAD);
    }
    lane.decide_as(standing)
}

/// The headers of this route, if they were made before and still count.
pub(super) fn told(
    injection: &Injection,
    session: &Session,
    now: impl Fn() -> Timestamp,
) -> Option<ReadyHeaders> {
    let made = session.kept::<Made>()?;
    let told = made
        .told
        .find(|known| known.injection == injection.number())?;
    let until = told.until.load(Ordering::Relaxed);
    (until == u64::MAX || now().0 < until).then(|| told.ready.clone())
}

/// Keeps headers until then. True if the session takes more room now.
pub(super) fn keep(
    injection: &Injection,
    session: &Session,
    ready: &ReadyHeaders,
    until: Timestamp,
) -> bool {
    let Some(made) = session.kept::<Made>() else {
        return false;
    };
    if let Some(told) = made
        .told
        .find(|known| known.injection == injection.number())
    {
        // The same reading and the same route: the same headers.
        told.until.store(until.0, Ordering::Relaxed);
        return false;
    }
    let values = ready.iter().map(|(_, value)| value.len());
    let bytes = OVERHEAD + values.sum::<usize>();
    let added = made.told.add(Told {
        injection: injection.number(),
        ready: ready.clone(),
        until: AtomicU64::new(until.0),
    });
    if added {
        session.kept_more(bytes);
    }
    added
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::checked;
    use crate::model::access::Access;
    use crate::model::origin::Authority;
    use crate::model::pattern::PathPattern;
    use crate::refresh::fixture::signed_in;

    fn injection(id: &str) -> Injection {
        let route = checked::Route {
            id: id.to_owned(),
            hosts: vec![checked::RouteHost::Any],
            path: PathPattern::parse("/*").unwrap(),
            upstream: checked::Upstream::Http(Authority::parse("127.0.0.1:1").unwrap()),
            upstream_tls: Default::default(),
            prefix: Default::default(),
            preserve_host: true,
            access: Some(Access::SignedIn),
            deny: Vec::new(),
            rules: Vec::new(),
            encoded_slash: false,
            preflight: Default::default(),
            identity: checked::IdentityRules::default(),
            headers: Vec::new(),
            pass_access_token: false,
            response_timeout: Duration::from_secs(60),
            max_body: None,
        };
        Injection::compile(&route, false)
    }

    #[tokio::test]
    async fn headers_are_made_once_for_a_reading_and_a_route() {
        let rig = signed_in(Duration::from_secs(600)).await;
        let routes = ["a", "b"].map(injection);
        let now = || Timestamp(1_000);
        assert!(told(&routes[0], &rig.session, now).is_none());
        let ready = routes[0].render(&rig.session.identity, None).unwrap();
        assert!(keep(&routes[0], &rig.session, &ready, Timestamp(u64::MAX)));
        assert_eq!(told(&routes[0], &rig.session, now), Some(ready.clone()));
        assert!(
            told(&routes[1], &rig.session, now).is_none(),
            "another route"
        );
        // Until the name must be asked for again.
        assert!(keep(&routes[1], &rig.session, &ready, Timestamp(1_000)));
        assert!(told(&routes[1], &rig.session, now).is_none());
        assert!(!keep(&routes[1], &rig.session, &ready, Timestamp(1_001)));
        assert!(told(&routes[1], &rig.session, now).is_some());
        // Another reading of the same session begins anew.
        let identity = (*rig.session.identity).clone();
        let again = rig.session.with_identity(identity);
        assert!(told(&routes[0], &again, now).is_none());
    }
}
