use super::*;

/// The shortest of some tries: machines that run tests are slow.
fn gathering(waiting: usize, last_group: usize) -> (usize, Duration) {
    let tries = (0..20).map(|_| {
        let (queue, jobs) = mpsc::sync_channel(QUEUE);
        for _ in 0..waiting {
            queue.send(()).unwrap();
        }
        let begin = Instant::now();
        let group = gather((), &jobs, last_group);
        (group.len(), begin.elapsed())
    });
    tries.min_by_key(|(_, took)| *took).unwrap()
}

#[test]
fn a_lone_writer_does_not_wait_for_company() {
    let (size, took) = gathering(0, 1);
    assert_eq!(size, 1);
    assert!(took < GATHER / 2, "{took:?}");
}

#[test]
fn a_group_waits_for_those_of_the_last_one_and_no_more() {
    let (size, took) = gathering(2, 3);
    assert_eq!(size, 3);
    assert!(took < GATHER / 2, "all are back: {took:?}");
    let (size, took) = gathering(1, 3);
    assert_eq!(size, 2);
    assert!(took >= GATHER, "{took:?}");
    let (size, _) = gathering(GROUP * 2, 1);
    assert_eq!(size, GROUP);
}
