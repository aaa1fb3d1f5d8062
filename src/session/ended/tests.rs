use super::*;

fn sign_out(number: u32) -> SignOut {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    SignOut {
        whose: Whose::Session(SessionId(id), None),
        at: Timestamp(5),
        until: Timestamp(1000),
    }
}

fn id(number: u32) -> SessionId {
    let Whose::Session(id, _) = sign_out(number).whose else {
        unreachable!()
    };
    id
}

#[test]
fn an_entry_waits_is_told_again_after_trouble_and_by_the_clock_and_goes() {
    let ended = Ended::default();
    assert!(!ended.add(sign_out(1)).unwrap());
    assert!(ended.add(sign_out(1)).unwrap(), "waits already");
    assert!(ended.has_session(&id(1)) && !ended.has_session(&id(2)));
    assert_eq!((ended.due(false).len(), ended.waiting()), (1, 1));
    ended.taken(&sign_out(1).name(), None);
    assert_eq!((ended.due(false).len(), ended.waiting()), (0, 0));
    assert_eq!(ended.due(true).len(), 1);
    let at = |seconds| Instant::now() + Duration::from_secs(seconds);
    for seconds in [10, 60, 240] {
        assert_eq!(ended.due_at(at(seconds - 1), false).len(), 0);
        assert_eq!(ended.due_at(at(seconds), false).len(), 1, "{seconds}");
    }
    assert!(ended.let_go(Timestamp(7)).is_empty());
    assert!(ended.has_session(&id(1)));
    let gone = ended.let_go_at(at(300), Timestamp(7));
    assert_eq!(gone, [sign_out(1).name()]);
    assert!(!ended.has_session(&id(1)) && ended.due(true).is_empty());
}

#[test]
fn what_waits_is_bounded_and_never_pushed_out() {
    let ended = Ended::default();
    for number in 0..MOST_WAITING as u32 {
        ended.add(sign_out(number)).unwrap();
    }
    assert!(ended.add(sign_out(1_000_000)).is_err());
    for number in 0..MOST_WAITING as u32 {
        ended.taken(&sign_out(number).name(), None);
    }
    ended.add(sign_out(1_000_000)).unwrap();
    assert!(ended.has_session(&id(1_000_000)));
    assert_eq!(ended.let_go(Timestamp(1000)).len(), MOST_WAITING + 1);
    assert_eq!(ended.waiting(), 0);
}
