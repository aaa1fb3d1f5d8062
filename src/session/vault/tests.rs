use super::*;
use crate::base::key_ring::KeyRing;

fn vault(session: u8) -> Vault {
    Vault::new("n".into(), SessionId([session; 16]), DataKey([9; 32]))
}

fn tokens(refresh: &str) -> TokenSet {
    TokenSet {
        access_token: "access".to_owned().into(),
        refresh_token: Some(refresh.to_owned().into()),
        id_token: None,
        access_expires_at: Timestamp(5),
        received_at: Timestamp(4),
        scope: None,
    }
}

#[test]
fn sec_ses_22_token_bodies_of_another_record_or_token_do_not_open() {
    let ours = vault(1);
    let tokens = tokens("r1");
    let rt_fp = ours.fingerprint(tokens.refresh_token.as_ref());
    let header = TokenHeader::new(rt_fp, Timestamp(5), Timestamp(4));
    let sealed = ours.seal_tokens(&tokens, 1);
    let read = ours.open_tokens(&header, &sealed).unwrap();
    assert_eq!(read.access_token.expose_secret(), "access");
    assert_eq!(read.refresh_token.unwrap().expose_secret(), "r1");
    assert!(vault(2).open_tokens(&header, &sealed).is_err());
    assert!(ours.open_identity(&sealed).is_err());
    let ahead = ours.seal_tokens(&tokens, 2);
    assert!(ours.open_tokens(&header, &ahead).is_err());
    let mut other = header;
    other.rt_fp = Fingerprint([3; 16]);
    assert!(ours.open_tokens(&other, &sealed).is_err());
}

#[test]
fn a_ticket_record_opens_with_its_key_secret_and_name_only() {
    let ring = KeyRing::parse(&(KeyRing::generate() + &KeyRing::generate())).unwrap();
    let (key, other) = (&ring.all()[0], &ring.all()[1]);
    let name = Digest([5; 32]);
    let record = TicketRecord {
        session: SessionId([1; 16]),
        data_key: DataKey([2; 32]),
        created_at: Timestamp(3),
        expires_at: Timestamp(4),
    };
    let sealed = record.seal(key, &[6; 32], name, "n");
    let open = |key, secret: u8, name, namespace| {
        TicketRecord::open(key, &[secret; 32], name, namespace, &sealed)
    };
    let read = open(key, 6, name, "n").unwrap_or_else(|_| panic!("opens"));
    assert_eq!(read.session, record.session);
    assert_eq!(read.data_key.0, record.data_key.0);
    assert_eq!((read.created_at.0, read.expires_at.0), (3, 4));
    assert!(open(other, 6, name, "n").is_err());
    assert!(open(key, 7, name, "n").is_err());
    assert!(open(key, 6, Digest([6; 32]), "n").is_err());
    assert!(open(key, 6, name, "m").is_err());
}

#[test]
fn browsers_are_told_apart_by_family() {
    for (text, family) in [
        (
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            "Firefox",
        ),
        (
            "Mozilla/5.0 AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0",
            "Edge",
        ),
        (
            "Mozilla/5.0 AppleWebKit/537.36 Chrome/140.0 Safari/537.36",
            "Chrome",
        ),
        (
            "Mozilla/5.0 (Macintosh) AppleWebKit/605 Version/18.0 Safari/605",
            "Safari",
        ),
        ("curl/8", "other"),
    ] {
        assert_eq!(browser_family(text), family);
    }
}
