use std::collections::BTreeMap;

use bytes::Bytes;
use secrecy::ExposeSecret;

use super::super::store::Once;
use super::*;
use crate::model::identity::{Groups, ProviderId};
use crate::session::store::memory::MemoryStore;
use crate::session::store::sqlite::SqliteStore;
use crate::session::ticket::TEXT_LENGTH;

pub const HOUR: Duration = Duration::from_secs(3600);

pub fn identity(subject: &str) -> Identity {
    Identity {
        provider: ProviderId("main".into()),
        issuer: "https://idp.example.com".into(),
        subject: subject.into(),
        username: Some("ann-username".into()),
        name: Some("Ann Example".into()),
        email: Some("ann@mail.example".into()),
        email_verified: true,
        groups: Groups::Known(vec!["group-of-ann".into()]),
        claims: BTreeMap::new(),
        provider_session: Some("provider-sid-of-ann".into()),
        read_at: Timestamp(1),
    }
}

pub fn tokens(refresh: Option<&str>) -> TokenSet {
    TokenSet {
        access_token: "access-token-bytes".to_owned().into(),
        refresh_token: refresh.map(|text| text.to_owned().into()),
        id_token: Some("id-token-bytes".to_owned().into()),
        access_expires_at: Timestamp(9_000_000_000_000),
        received_at: Timestamp(1),
        scope: Some("openid".into()),
    }
}

pub fn scope() -> Scope {
    Scope("app.example.com".into())
}

fn settings() -> Settings {
    Settings {
        namespace: "vestibule".into(),
        lifetime: HOUR * 24,
        idle_timeout: HOUR,
    }
}

pub struct Rig {
    pub clock: Clock,
    pub store: Arc<dyn Store>,
    pub sessions: Sessions,
}

fn rig() -> Rig {
    rig_with(&KeyRing::generate(), Clock::movable(), None)
}

pub fn rig_with(ring: &str, clock: Clock, store: Option<Arc<dyn Store>>) -> Rig {
    let store = store.unwrap_or_else(|| Arc::new(MemoryStore::new(clock.clone())));
    let ring = KeyRing::parse(ring).unwrap();
    let sessions = Sessions::new(store.clone(), ring, clock.clone(), settings());
    Rig {
        clock,
        store,
        sessions,
    }
}

pub async fn sign_in(sessions: &Sessions, subject: &str, seed: &[u8]) -> (Ticket, Session) {
    let new = NewSession {
        identity: &identity(subject),
        tokens: &tokens(Some("refresh-token-bytes")),
        scope: &scope(),
        seed,
        user_agent: Some("Mozilla/5.0 Firefox/140.0"),
        began_at: Timestamp(u64::MAX),
    };
    sessions.create(new).await.unwrap()
}

fn live(found: Found) -> Session {
    match found {
        Found::Live(session) => session,
        Found::Ended(ending) => panic!("ended: {ending:?}"),
    }
}

fn ended(found: Found) -> Ending {
    match found {
        Found::Live(_) => panic!("live"),
        Found::Ended(ending) => ending,
    }
}

#[tokio::test]
async fn what_was_created_is_found_by_the_cookie_text() {
    let Rig { sessions, .. } = rig();
    let (ticket, made) = sign_in(&sessions, "ann", b"seed").await;
    let text = sessions.ticket_text(&ticket);
    assert_eq!(text.len(), TEXT_LENGTH);
    let opened = sessions.open_ticket(&["junk", &text], &scope()).unwrap();
    let found = live(sessions.find(&opened).await.unwrap());
    assert_eq!(found.id, made.id);
    assert_eq!(*found.identity, identity("ann"));
    assert_eq!(found.header, made.header);
    assert_eq!(found.expires_at, made.created_at.plus(HOUR * 24));
    let tokens = found.tokens().unwrap();
    assert_eq!(tokens.access_token.expose_secret(), "access-token-bytes");
    assert_eq!(made.tokens().unwrap().scope, tokens.scope);
    assert!(sessions.ticket_from_seed(b"seed", &scope()) == ticket);
    assert!(!format!("{found:?}").contains("ann"));
}

#[tokio::test]
async fn sec_ses_05_a_ticket_with_the_key_half_of_another_is_refused() {
    let Rig { sessions, .. } = rig();
    let (ann, _) = sign_in(&sessions, "ann", b"a").await;
    let (bob, _) = sign_in(&sessions, "bob", b"b").await;
    let mut mixed = ann;
    mixed.secret = bob.secret;
    let text = sessions.ticket_text(&mixed);
    assert!(sessions.open_ticket(&[&text], &scope()).is_none());
    // Even past the MAC, ann's record does not open with bob's secret.
    let error = sessions.find(&mixed).await.unwrap_err();
    assert_eq!(error.reason(), "session_record_corrupt");
}

#[tokio::test]
async fn sec_ses_06_keys_rotate_without_a_sign_out() {
    let (old, new) = (KeyRing::generate(), KeyRing::generate());
    let first = rig_with(&old, Clock::movable(), None);
    let (ticket, made) = sign_in(&first.sessions, "ann", b"seed").await;
    let text = ticket.text();
    let store = Some(first.store.clone());
    let both = rig_with(&format!("{new}{old}"), first.clock.clone(), store.clone());
    let opened = both.sessions.open_ticket(&[&text], &scope()).unwrap();
    assert_eq!(live(both.sessions.find(&opened).await.unwrap()).id, made.id);
    let seeded = both.sessions.tickets_from_seed(b"seed", &scope());
    assert!(seeded.contains(&ticket));
    let without = rig_with(&new, first.clock.clone(), store);
    assert!(without.sessions.open_ticket(&[&text], &scope()).is_none());
    assert_eq!(
        both.sessions
            .revoke_subject(&made.identity.issuer, "ann")
            .await
            .unwrap(),
        1
    );
    let ending = ended(both.sessions.find(&opened).await.unwrap());
    assert_eq!(ending, Ending::SignedOut);
}

#[tokio::test]
async fn sec_ses_17_idle_and_absolute_ends_are_the_servers() {
    let Rig {
        sessions, clock, ..
    } = rig();
    let (ticket, session) = sign_in(&sessions, "ann", b"seed").await;
    for _ in 0..23 {
        clock.advance(59 * 60 * 1000);
        live(sessions.find(&ticket).await.unwrap());
        sessions.touch(&session).await.unwrap();
    }
    clock.advance(60 * 60 * 1000);
    assert_eq!(sessions.ending(&session), Some(Ending::Idle));
    assert_eq!(ended(sessions.find(&ticket).await.unwrap()), Ending::Idle);
    clock.advance(60 * 60 * 1000);
    assert_eq!(sessions.ending(&session), Some(Ending::Expired));
    assert_eq!(
        ended(sessions.find(&ticket).await.unwrap()),
        Ending::Unknown
    );
}

#[tokio::test]
async fn use_is_written_rarely_and_seen_by_other_replicas() {
    let ring = KeyRing::generate();
    let here = rig_with(&ring, Clock::movable(), None);
    let there = rig_with(&ring, here.clock.clone(), Some(here.store.clone()));
    let (ticket, session) = sign_in(&here.sessions, "ann", b"seed").await;
    let born = session.header.last_seen;
    here.clock.advance(5 * 60_000);
    here.sessions.touch(&session).await.unwrap();
    assert_eq!(
        live(there.sessions.find(&ticket).await.unwrap())
            .header
            .last_seen,
        born
    );
    here.clock.advance(60_000);
    here.sessions.touch(&session).await.unwrap();
    let seen = live(there.sessions.find(&ticket).await.unwrap())
        .header
        .last_seen;
    assert!(seen.since(born) >= Duration::from_secs(360));
}

#[tokio::test]
async fn sec_ses_18_revoked_means_revoked_everywhere() {
    let ring = KeyRing::generate();
    let here = rig_with(&ring, Clock::movable(), None);
    let there = rig_with(&ring, here.clock.clone(), Some(here.store.clone()));
    let (ticket, session) = sign_in(&here.sessions, "ann", b"seed").await;
    let (other, _) = sign_in(&here.sessions, "ann", b"other").await;
    let copy = live(there.sessions.find(&ticket).await.unwrap());
    here.sessions.revoke(&session).await.unwrap();
    assert_eq!(
        ended(there.sessions.find(&ticket).await.unwrap()),
        Ending::Unknown
    );
    assert_eq!(
        ended(there.sessions.reload(&copy).await.unwrap()),
        Ending::SignedOut
    );
    let late = there
        .sessions
        .commit(&copy, copy.header.rt_fp, &tokens(Some("late")), None)
        .await
        .unwrap();
    assert_eq!(late, Committed::Gone);
    live(there.sessions.find(&other).await.unwrap());
    assert_eq!(
        here.sessions
            .revoke_subject(&copy.identity.issuer, "ann")
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        ended(there.sessions.find(&other).await.unwrap()),
        Ending::SignedOut
    );
}

#[tokio::test]
async fn a_rotation_is_seen_by_the_one_who_reloads() {
    let Rig { sessions, .. } = rig();
    let (ticket, session) = sign_in(&sessions, "ann", b"seed").await;
    let owner = Owner([1; 16]);
    let spent = session.header.rt_fp;
    let claimed = sessions
        .claim(&session, owner, HOUR, false, Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(claimed, Claimed::Granted);
    let mut renamed = identity("ann");
    renamed.name = Some("Ann Other".into());
    let committed = sessions
        .commit(&session, spent, &tokens(Some("second")), Some(&renamed))
        .await
        .unwrap();
    assert!(matches!(committed, Committed::Done { .. }));
    let after = live(sessions.reload(&session).await.unwrap());
    let refresh = after.tokens().unwrap().refresh_token.unwrap();
    assert_eq!(refresh.expose_secret(), "second");
    assert_eq!(after.identity.name.as_deref(), Some("Ann Other"));
    let again = sessions
        .claim(&session, owner, HOUR, false, Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(again, Claimed::Superseded);
    sessions
        .put_identity(&after, &identity("ann"))
        .await
        .unwrap();
    let found = live(sessions.find(&ticket).await.unwrap());
    assert_eq!(found.identity.name.as_deref(), Some("Ann Example"));
    // A version later than known to the committer is no obstacle.
    let claim = sessions
        .claim(&after, owner, HOUR, false, Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(claim, Claimed::Granted);
    let release = Release {
        owner,
        clear_intent: true,
        retry_at: Timestamp(0),
        fail_class: 0,
    };
    sessions.release(&after, release).await.unwrap();
    let third = tokens(Some("third"));
    sessions
        .commit(&after, after.header.rt_fp, &third, None)
        .await
        .unwrap();
    live(sessions.reload(&after).await.unwrap())
        .tokens()
        .unwrap();
}

#[tokio::test]
async fn a_session_without_a_refresh_token_cannot_be_claimed() {
    let Rig { sessions, .. } = rig();
    let new = NewSession {
        identity: &identity("ann"),
        tokens: &tokens(None),
        scope: &scope(),
        seed: b"seed",
        user_agent: None,
        began_at: Timestamp(u64::MAX),
    };
    let (_, session) = sessions.create(new).await.unwrap();
    assert!(session.header.rt_fp.is_none());
    session.tokens().unwrap();
    let claimed = sessions
        .claim(&session, Owner([1; 16]), HOUR, true, Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(claimed, Claimed::Superseded);
}

#[tokio::test(flavor = "multi_thread")]
async fn sec_ses_26_single_use_has_one_winner_whatever_the_writing_key() {
    let (a, b) = (KeyRing::generate(), KeyRing::generate());
    let one = rig_with(&format!("{a}{b}"), Clock::movable(), None);
    let two = rig_with(
        &format!("{b}{a}"),
        one.clock.clone(),
        Some(one.store.clone()),
    );
    let (one, two) = (Arc::new(one.sessions), Arc::new(two.sessions));
    let tasks: Vec<_> = (0..50)
        .map(|n| {
            let sessions = if n % 2 == 0 { one.clone() } else { two.clone() };
            tokio::spawn(async move { sessions.once("code", b"state", HOUR).await.unwrap() })
        })
        .collect();
    let mut first = 0;
    for task in tasks {
        first += usize::from(task.await.unwrap() == Once::First);
    }
    assert_eq!(first, 1);
    one.once_finish("code", b"state", b"spent".to_vec())
        .await
        .unwrap();
    let seen = two.once("code", b"state", HOUR).await.unwrap();
    assert_eq!(seen, Once::Seen(Bytes::from_static(b"spent")));
    assert_eq!(one.once("jti", b"state", HOUR).await.unwrap(), Once::First);
}

/// What must appear nowhere in a store.
pub fn secrets(ticket: &Ticket) -> Vec<Vec<u8>> {
    let text = ticket.text();
    let mut secrets: Vec<Vec<u8>> = [
        "access-token-bytes",
        "refresh-token-bytes",
        "second-refresh-token",
        "id-token-bytes",
        "subject-of-ann",
        "ann-username",
        "ann@mail.example",
        "Ann Example",
        "group-of-ann",
        "provider-sid-of-ann",
        "idp.example.com",
        "app.example.com",
        "Firefox",
        "state-of-the-login",
        &text[3..],
        &text[7..23],
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    secrets.push(ticket.id.to_vec());
    secrets.push(ticket.secret.to_vec());
    let hex: String = ticket.id.iter().map(|byte| format!("{byte:02x}")).collect();
    secrets.push(hex.into_bytes());
    secrets
}

/// A sign-in, a rotation, single use; then another one that is signed out.
pub async fn leave_traces(sessions: &Sessions) -> [Ticket; 2] {
    let (ticket, session) = sign_in(sessions, "subject-of-ann", b"one").await;
    sessions
        .once("code", b"state-of-the-login", HOUR)
        .await
        .unwrap();
    let spent = session.header.rt_fp;
    sessions
        .claim(&session, Owner([1; 16]), HOUR, false, Duration::ZERO)
        .await
        .unwrap();
    let fresh = tokens(Some("second-refresh-token"));
    let identity = identity("subject-of-ann");
    sessions
        .commit(&session, spent, &fresh, Some(&identity))
        .await
        .unwrap();
    let (gone, ended) = sign_in(sessions, "subject-of-ann", b"two").await;
    sessions.revoke(&ended).await.unwrap();
    live(sessions.find(&ticket).await.unwrap())
        .tokens()
        .unwrap();
    [ticket, gone]
}

#[tokio::test]
async fn sec_ses_22_a_database_file_tells_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::movable();
    let store = SqliteStore::open(&folder.path().join("db"), clock.clone()).unwrap();
    let rig = rig_with(&KeyRing::generate(), clock, Some(Arc::new(store)));
    let tickets = leave_traces(&rig.sessions).await;
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let dump = std::fs::read(entry.unwrap().path()).unwrap();
        bytes += dump.len();
        for secret in tickets.iter().flat_map(secrets) {
            let found = memchr::memmem::find(&dump, &secret);
            assert!(found.is_none(), "{}", String::from_utf8_lossy(&secret));
        }
    }
    assert!(bytes > 10_000, "the dump is really there");
}

#[tokio::test]
async fn sec_ses_22_swapped_records_do_not_open() {
    let Rig {
        sessions,
        store,
        clock,
    } = rig();
    let (ticket, ann) = sign_in(&sessions, "ann", b"a").await;
    let (_, bob) = sign_in(&sessions, "bob", b"b").await;
    let stored = match store.load(bob.id).await.unwrap() {
        Loaded::Live(stored) => stored,
        other => panic!("{other:?}"),
    };
    store
        .put_identity(ann.id, stored.identity.to_vec())
        .await
        .unwrap();
    let error = sessions.find(&ticket).await.unwrap_err();
    assert!(matches!(
        error,
        SessionError::Corrupt { record: "identity" }
    ));
    let later = clock.now().plus(HOUR);
    let sealed = store.get_ticket(bob.ticket).await.unwrap().unwrap();
    store
        .put_ticket(ann.ticket, sealed.to_vec(), later)
        .await
        .unwrap();
    let error = sessions.find(&ticket).await.unwrap_err();
    assert!(matches!(error, SessionError::Corrupt { record: "ticket" }));
}

#[tokio::test]
async fn a_draft_is_written_as_often_as_it_takes() {
    let rig = rig();
    let new = NewSession {
        identity: &identity("ann"),
        tokens: &tokens(Some("refresh-token-bytes")),
        scope: &scope(),
        seed: b"seed",
        user_agent: None,
        began_at: Timestamp(u64::MAX),
    };
    let draft = rig.sessions.draft(new).unwrap();
    // Written, and the answers never came.
    for _ in 0..3 {
        rig.sessions.keep(&draft).await.unwrap();
    }
    let found = rig.sessions.find(&draft.ticket).await.unwrap();
    assert_eq!(live(found).id, draft.session.id);
    // Another session of that name is not taken for ours.
    let mut foreign = rig.sessions.draft(new).unwrap();
    foreign.session = Session::from(Known {
        id: draft.session.id,
        ..foreign.session.again()
    });
    let error = rig.sessions.keep(&foreign).await.unwrap_err();
    assert_eq!(error.reason(), "store_record_corrupt");
    // Ended between two tries: it stays ended.
    rig.store
        .tombstone(draft.session.id, Timestamp(1))
        .await
        .unwrap();
    let error = rig.sessions.keep(&draft).await.unwrap_err();
    assert_eq!(error.reason(), "session_ended_by_idp");
}
