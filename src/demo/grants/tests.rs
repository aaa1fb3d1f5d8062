use super::*;

const LIFE: Duration = Duration::from_secs(60);

#[test]
fn a_restart_keeps_grants_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("provider.json");
    let first = Grants::open(&file, Clock::system(), LIFE).unwrap();
    let issued = first.begin("ann").unwrap();
    let key = serde_json::to_value(first.signing_key().unwrap().key_set()).unwrap();
    drop(first);
    let second = Grants::open(&file, Clock::system(), LIFE).unwrap();
    assert_eq!(
        serde_json::to_value(second.signing_key().unwrap().key_set()).unwrap(),
        key
    );
    assert!(second.by_access_token(&issued.access_token).is_some());
    let next = second.refresh(&issued.refresh_token).unwrap().unwrap();
    assert_eq!(next.grant, issued.grant);
    let text = std::fs::read_to_string(&file).unwrap();
    for token in [&next.access_token, &next.refresh_token] {
        assert!(!text.contains(token.as_str()));
    }
}

#[test]
fn a_spent_refresh_token_ends_the_grant() {
    let folder = tempfile::tempdir().unwrap();
    let grants = Grants::open(&folder.path().join("p"), Clock::system(), LIFE).unwrap();
    let first = grants.begin("ann").unwrap();
    let second = grants.refresh(&first.refresh_token).unwrap().unwrap();
    assert!(grants.refresh(&first.refresh_token).unwrap().is_none());
    assert!(grants.refresh(&second.refresh_token).unwrap().is_none());
}

#[test]
fn codes_and_access_tokens_end() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::movable();
    let grants = Grants::open(&folder.path().join("p"), clock.clone(), LIFE).unwrap();
    let code = Code {
        person: "ben".to_owned(),
        redirect_uri: String::new(),
        challenge: String::new(),
        nonce: None,
        expires_at: Timestamp::default(),
    };
    let text = grants.add_code(code.clone()).unwrap();
    assert!(grants.take_code(&text).unwrap().is_some());
    assert!(grants.take_code(&text).unwrap().is_none());
    let late = grants.add_code(code).unwrap();
    let issued = grants.begin("ben").unwrap();
    clock.advance(61_000);
    assert!(grants.take_code(&late).unwrap().is_none());
    assert!(grants.by_access_token(&issued.access_token).is_none());
}
