use super::*;
use crate::base::random;

fn scope() -> Scope {
    Scope("app.example.com".into())
}

fn keys(text: &str) -> TicketKeys {
    TicketKeys::new(&KeyRing::parse(text).unwrap(), "vestibule")
}

fn fresh(keys: &TicketKeys) -> Ticket {
    Ticket::derive(keys, &random::bytes::<16>(), &scope())
}

#[test]
fn a_ticket_survives_its_text() {
    let keys = keys(&KeyRing::generate());
    let ticket = fresh(&keys);
    let text = ticket.text();
    assert_eq!(text.len(), TEXT_LENGTH);
    assert_eq!(TEXT_LENGTH, 91);
    let read = Ticket::parse(&text, &keys, &scope()).unwrap();
    assert!(read == ticket);
    assert_eq!(read.digest(&keys), ticket.digest(&keys));
    assert_eq!(format!("{ticket:?}"), "Ticket");
}

#[test]
fn a_seed_gives_one_ticket_per_scope_and_installation() {
    let ring = KeyRing::parse(&KeyRing::generate()).unwrap();
    let ours = TicketKeys::new(&ring, "a");
    let theirs = TicketKeys::new(&ring, "b");
    let other = Scope("other.example.com".into());
    let ticket = Ticket::derive(&ours, b"seed", &scope());
    assert!(ticket == Ticket::derive(&ours, b"seed", &scope()));
    assert!(ticket.id != Ticket::derive(&ours, b"seed", &other).id);
    assert!(ticket.id != Ticket::derive(&theirs, b"seed", &scope()).id);
    assert!(ticket.id != Ticket::derive(&ours, b"need", &scope()).id);
    for (keys, scope) in [(&ours, &other), (&theirs, &scope())] {
        assert_eq!(
            Ticket::parse(&ticket.text(), keys, scope).unwrap_err(),
            TicketError::Rejected
        );
    }
}

#[test]
fn sec_ses_02_ids_show_no_pattern_and_guesses_fail() {
    let keys = keys(&KeyRing::generate());
    let mut ids = std::collections::HashSet::new();
    let mut ones = 0_u64;
    for _ in 0..20_000 {
        let ticket = fresh(&keys);
        ones += ticket
            .id
            .iter()
            .map(|b| u64::from(b.count_ones()))
            .sum::<u64>();
        assert!(ids.insert(ticket.id));
    }
    let share = ones as f64 / (20_000.0 * 128.0);
    assert!((0.495..0.505).contains(&share), "{share}");
    for _ in 0..10_000 {
        let mut guess = random::bytes::<RAW_LENGTH>();
        guess[..2].copy_from_slice(&keys.keys[0].ring.id().0);
        let text = format!("{VERSION}{}", URL_SAFE_NO_PAD.encode(guess));
        assert_eq!(
            Ticket::parse(&text, &keys, &scope()).unwrap_err(),
            TicketError::Rejected
        );
    }
}

#[test]
fn sec_ses_03_changed_cut_or_extended_tickets_are_one_rejection() {
    let keys = keys(&KeyRing::generate());
    let ticket = fresh(&keys);
    let text = ticket.text();
    let raw = URL_SAFE_NO_PAD.decode(&text[3..]).unwrap();
    for bit in 0..raw.len() * 8 {
        let mut changed = raw.clone();
        changed[bit / 8] ^= 0x80 >> (bit % 8);
        let changed = format!("{VERSION}{}", URL_SAFE_NO_PAD.encode(changed));
        let expected = if bit < 16 {
            TicketError::UnknownKey
        } else {
            TicketError::Rejected
        };
        assert_eq!(
            Ticket::parse(&changed, &keys, &scope()).unwrap_err(),
            expected
        );
    }
    for length in 0..text.len() {
        assert!(Ticket::parse(&text[..length], &keys, &scope()).is_err());
    }
    for odd in [
        format!("{text}A"),
        format!("{text}="),
        format!(" {text}"),
        text.replacen("v1.", "v2.", 1),
        text.replacen("v1.", "V1.", 1),
        text.to_uppercase(),
    ] {
        assert!(Ticket::parse(&odd, &keys, &scope()).is_err(), "{odd}");
    }
}

#[test]
fn sec_ses_05_the_halves_of_two_tickets_do_not_mix() {
    let keys = keys(&KeyRing::generate());
    let (ann, bob) = (fresh(&keys), fresh(&keys));
    let mut mixed = ann.clone();
    mixed.secret = bob.secret;
    assert!(Ticket::parse(&mixed.text(), &keys, &scope()).is_err());
    mixed.mac = bob.mac;
    assert!(Ticket::parse(&mixed.text(), &keys, &scope()).is_err());
}

#[test]
fn sec_ses_06_old_keys_read_until_they_leave_the_ring() {
    let (old, new) = (KeyRing::generate(), KeyRing::generate());
    let ticket = fresh(&keys(&old));
    let both = keys(&format!("{new}{old}"));
    let read = Ticket::parse(&ticket.text(), &both, &scope()).unwrap();
    assert!(read == ticket);
    assert!(fresh(&both).key != ticket.key);
    assert_eq!(
        Ticket::parse(&ticket.text(), &keys(&new), &scope()).unwrap_err(),
        TicketError::UnknownKey
    );
    let old_derived = Ticket::derive(&keys(&old), b"seed", &scope());
    assert!(Ticket::derive_all(&both, b"seed", &scope()).contains(&old_derived));
}

#[test]
fn sec_ses_23_a_text_of_another_form_never_becomes_a_name() {
    let keys = keys(&KeyRing::generate());
    let huge = format!("{VERSION}{}", "A".repeat(1 << 20));
    for text in [
        "",
        "state:x",
        "lock:x",
        "../../etc/passwd",
        "v1.",
        "\0",
        &huge,
    ] {
        assert_eq!(
            Ticket::parse(text, &keys, &scope()).unwrap_err(),
            TicketError::Rejected
        );
    }
    let unicode = format!("{VERSION}{}", "é".repeat(44));
    assert_eq!(unicode.len(), TEXT_LENGTH);
    assert!(Ticket::parse(&unicode, &keys, &scope()).is_err());
}

#[test]
fn the_mac_covers_the_parts_one_after_the_other_however_long_they_are() {
    let ring = KeyRing::parse(&KeyRing::generate()).unwrap();
    for namespace in ["n".to_owned(), "n".repeat(500), "n".repeat(5000)] {
        let keys = TicketKeys::new(&ring, &namespace);
        let ticket = fresh(&keys);
        let mut hasher = blake3::Hasher::new_keyed(&keys.keys[0].mac);
        hasher.update(b"v1.");
        hasher.update(&ring.all()[0].id().0);
        hasher.update(&ticket.id);
        hasher.update(&ticket.secret);
        for part in [namespace.as_bytes(), b"app.example.com"] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        assert_eq!(ticket.mac, hasher.finalize().as_bytes()[..16]);
    }
}
