use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::config::checked::{self, Limits, Runtime, SameSite};
use crate::model::origin::{Authority, Origin, Scheme};
use crate::provider::Providers;
use crate::refresh::fixture::{Rig, another, scope, signed_in};
use crate::refresh::{Refresher, Settings};
use crate::session::cookie::SessionCookies;
use crate::telemetry::Telemetry;

const MINUTE: Duration = Duration::from_secs(60);

/// A gate without a provider: nothing can be refreshed.
fn gate(rig: &Rig) -> Gate {
    let host = Authority::parse("app.test").unwrap();
    let server = checked::Server {
        listen: Vec::new(),
        public_url: Origin::new(Scheme::Https, host),
        prefix: "/oauth2".to_owned(),
        trusted_proxies: Vec::new(),
        return_to_hosts: Vec::new(),
        tls: None,
        workers: 1,
        runtime: Runtime::Shared,
    };
    let session = checked::Session {
        folder: std::path::PathBuf::new(),
        lifetime: MINUTE * 60,
        idle_timeout: Duration::ZERO,
        identity_max_age: MINUTE,
        outage_grace: Duration::ZERO,
        max_stale: MINUTE / 2,
        cookie_domain: None,
        same_site: SameSite::Lax,
    };
    let providers = Providers::new(&BTreeMap::new(), &Limits::default(), rig.clock.clone());
    let refresher = Refresher::new(
        Arc::clone(&rig.sessions),
        Arc::new(providers.unwrap()),
        Telemetry::new(None),
        rig.clock.clone(),
        Settings {
            identity_max_age: MINUTE,
            outage_grace: Duration::ZERO,
            provider_total: MINUTE,
        },
        tokio::runtime::Handle::current(),
    );
    let cookies = SessionCookies::new(&server, &session, rig.clock.clone());
    assert_eq!(*cookies.home_scope(), scope());
    let telemetry = Telemetry::new(None);
    Gate::new(Arc::clone(&rig.sessions), refresher, cookies, telemetry)
}

fn who(authentication: &Authentication) -> Option<String> {
    match authentication {
        Authentication::SignedIn { session, .. } => Some(session.id.reference()),
        _ => None,
    }
}

#[tokio::test]
async fn sec_ses_09_an_ended_ticket_in_front_does_not_hide_the_living_one() {
    let rig = signed_in(MINUTE * 10).await;
    let gate = gate(&rig);
    let (over, ended) = another(&rig.clock, &rig.sessions, b"over", MINUTE * 10).await;
    let (good, living) = another(&rig.clock, &rig.sessions, b"good", MINUTE * 10).await;
    rig.sessions.revoke(&ended).await.unwrap();
    let field = |ticket| format!("__Host-vestibule={}", rig.sessions.ticket_text(ticket));
    let (over, good) = (field(&over), field(&good));
    let both = format!("{over}; {good}");
    let found = gate.authenticate(Some(&scope()), &[both.as_bytes()]).await;
    assert_eq!(who(&found), Some(living.id.reference()));
    let found = gate.authenticate(Some(&scope()), &[over.as_bytes()]).await;
    assert!(matches!(
        found,
        Authentication::Anonymous { ended: Some(_) }
    ));
}

#[tokio::test]
async fn sec_ses_18_a_session_without_fresh_tokens_is_recognised_for_its_sign_out() {
    let rig = signed_in(MINUTE).await;
    let gate = gate(&rig);
    let (ticket, session) = another(&rig.clock, &rig.sessions, b"one", MINUTE).await;
    rig.clock.advance(120_000);
    let field = format!("__Host-vestibule={}", rig.sessions.ticket_text(&ticket));
    let cookies = [field.as_bytes()];
    let found = gate.authenticate(Some(&scope()), &cookies).await;
    assert_eq!(who(&found), None);
    let found = gate.recognise(Some(&scope()), &cookies).await;
    assert_eq!(who(&found), Some(session.id.reference()));
}

#[tokio::test]
async fn a_session_that_is_known_and_quiet_needs_nobody() {
    let rig = signed_in(MINUTE * 10).await;
    let gate = gate(&rig);
    let (ticket, session) = another(&rig.clock, &rig.sessions, b"one", MINUTE * 10).await;
    let field = format!("__Host-vestibule={}", rig.sessions.ticket_text(&ticket));
    let cookies = [field.as_bytes()];
    let fields = Cookies::Fields(&cookies);
    let seen = SeenCookies::of(field.as_bytes());
    let known = || {
        let now = rig.clock.now();
        let known = gate.known(Some(&scope()), fields, now);
        let again = gate.known(Some(&scope()), Cookies::Seen(&seen), now);
        let reference = |known: &Option<Session>| known.as_ref().map(|known| known.id);
        assert_eq!(reference(&known), reference(&again));
        again
    };
    assert!(known().is_none(), "never read");
    assert!(gate.known(None, fields, rig.clock.now()).is_none());
    gate.recognise(Some(&scope()), &cookies).await;
    assert_eq!(known().map(|known| known.id), Some(session.id));
    let elsewhere = Scope("files.test".into());
    for cookies in [fields, Cookies::Seen(&seen)] {
        let now = rig.clock.now();
        assert!(gate.known(Some(&elsewhere), cookies, now).is_none());
    }
    // The claims of this rig are old after a minute: that is due.
    rig.clock.advance(61_000);
    assert!(known().is_none(), "something is due");
    rig.clock.advance(-61_000);
    assert!(known().is_some());
    rig.sessions.revoke(&session).await.unwrap();
    assert!(known().is_none(), "it ended");
}

#[tokio::test]
async fn a_ticket_of_one_scope_is_nobodys_on_another() {
    let rig = signed_in(MINUTE * 10).await;
    let gate = gate(&rig);
    let (home, session) = another(&rig.clock, &rig.sessions, b"one", MINUTE * 10).await;
    let elsewhere = Scope("files.test".into());
    let (other, _) = rig.sessions.add_ticket(&session, &elsewhere).await.unwrap();
    let field = |ticket| format!("__Host-vestibule={}", rig.sessions.ticket_text(ticket));
    for (ticket, good, bad) in [
        (&home, scope(), &elsewhere),
        (&other, elsewhere.clone(), &scope()),
    ] {
        let field = field(ticket);
        let cookies = [field.as_bytes()];
        let found = gate.authenticate(Some(&good), &cookies).await;
        assert_eq!(who(&found), Some(session.id.reference()));
        for scope in [Some(bad), None] {
            let found = gate.authenticate(scope, &cookies).await;
            assert!(matches!(found, Authentication::Anonymous { ended: None }));
        }
    }
}
