//! The store is away, something is written down for it, and the gateway dies;
//! it comes back without the store, and then the store comes back too.
//!
//! Away means killed for Redis, and held by another program for the embedded
//! store.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::*;

impl Stage {
    async fn store_goes_away(&mut self) {
        match &mut self.redis {
            Some(redis) => redis.kill(),
            None => {
                let path = self.scene.gateway.plan().folder().join("vestibule.db");
                let holder = rusqlite::Connection::open(path).expect("the database");
                holder.execute_batch("BEGIN IMMEDIATE").expect("held");
                self.holder = Some(holder);
            }
        }
    }

    async fn store_comes_back(&mut self) {
        self.holder = None;
        if let Some(redis) = &mut self.redis {
            redis.restart().await;
        }
    }

    /// Dies at `point` in `deed`, and starts again without the store.
    async fn dies_away_from_the_store<T>(
        &mut self,
        point: &str,
        deed: impl Future<Output = T>,
    ) -> T {
        self.scene.gateway.die_at(point);
        let outcome = deed.await;
        self.scene.gateway.dies(point).await;
        self.starts_without_the_store(point).await;
        outcome
    }

    async fn starts_without_the_store(&mut self, point: &str) {
        let began = Instant::now();
        self.scene.gateway.restart_unready().await;
        self.note_return(point, began);
    }

    /// Dies at `point` in what it does when the store is back.
    async fn dies_when_the_store_is_back(&mut self, point: &str) {
        self.scene.gateway.die_at(point);
        self.store_comes_back().await;
        self.scene.gateway.dies(point).await;
        let began = Instant::now();
        self.scene.gateway.restart().await;
        self.note_return(point, began);
    }

    async fn signs_out(&self, browser: &Browser) -> Result<u16, String> {
        let origin = self.scene.gateway.url("");
        let headers = [
            ("origin", origin.as_str()),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        let url = self.scene.gateway.own("/sign_out");
        let answer = browser.try_fetch("POST", &url, &headers, Bytes::new());
        answer.await.map(|answer| answer.status.as_u16())
    }

    /// Here at once, in a process that knows nothing of it but from the store,
    /// and after one more start.
    async fn is_out_everywhere(&mut self, thief: &Browser, point: &str) {
        assert_eq!(self.status(thief).await, 401, "{point}");
        let second = self.scene.gateway.plan().replica().start().await;
        let there = thief.twin();
        there.detour(&second.authority(), second.address());
        until::some("the others follow", || async {
            (self.status(&there).await == 401).then_some(())
        })
        .await;
        drop(second);
        self.scene.gateway.restart().await;
        assert_eq!(self.status(thief).await, 401, "{point}");
    }

    /// While the store is away nobody is told that they are unknown.
    async fn is_not_signed_out(&self, browser: &Browser, point: &str) {
        let status = self.status(browser).await;
        assert!(matches!(status, 200 | 503), "{point}: {status}");
    }

    /// The provider holds back its answer to a refresh of Ann's, and the store
    /// goes away meanwhile. With the gate that lets the answer go.
    async fn away_while_a_refresh_answers(&mut self) -> (Browser, Arc<Semaphore>) {
        let provider = &self.scene.provider;
        provider.set(|script| script.access_lifetime = 4);
        let ann = self.scene.signed_in(User::ann()).await;
        provider.set(|script| script.access_lifetime = 3600);
        let gate = Arc::new(Semaphore::new(0));
        provider.fail(Endpoint::Refresh, [Fault::HoldAnswer(Arc::clone(&gate))]);
        until::some("a refresh begins", || async {
            assert_eq!(self.status(&ann).await, 200);
            (provider.count(Endpoint::Refresh) > 0).then_some(())
        })
        .await;
        self.store_goes_away().await;
        (ann, gate)
    }

    /// Nothing was sent again, and what was renewed is what counts.
    async fn the_token_came_home(&self, ann: &Browser, point: &str) {
        assert_eq!(settled(self, ann, point).await, 200, "{point}");
        let provider = &self.scene.provider;
        assert_eq!(provider.count(Endpoint::Refresh), 1, "{point}: sent again");
        assert_eq!(provider.reuse(), 0, "{point}");
        // The first one has ended by then, at the latest.
        sleep(Duration::from_secs(4)).await;
        assert_eq!(self.status(ann).await, 200, "{point}");
        assert_eq!(provider.count(Endpoint::Refresh), 1, "{point}: sent again");
        // Ann and Bob, once each.
        assert_eq!(self.scene.logins(), (2, 2), "{point}");
    }
}

#[tokio::test]
async fn g1_dead_while_renewed_tokens_are_written_down() {
    everywhere(
        "g1_dead_while_renewed_tokens_are_written_down",
        &["journal.written"],
        &["spool.before", "journal.written", "spool.after"],
        |kind, point| async move {
            let mut stage = Stage::set(kind).await;
            let (ann, gate) = stage.away_while_a_refresh_answers().await;
            let deed = async { gate.add_permits(1) };
            stage.dies_away_from_the_store(point, deed).await;
            stage.is_not_signed_out(&ann, point).await;
            stage.store_comes_back().await;
            stage.scene.gateway.ready().await;
            if point == "spool.before" {
                // The announced case: the successor died with the process.
                until::some("the old token ends", || async {
                    (settled(&stage, &ann, point).await == 401).then_some(())
                })
                .await;
                assert_eq!(stage.scene.provider.reuse(), 1, "{point}");
                let again = stage.scene.sign_in(&ann, User::ann()).await;
                assert_eq!(again.status, 200, "{point}");
            } else {
                stage.the_token_came_home(&ann, point).await;
            }
            stage.nothing_else_happened(point).await;
        },
    )
    .await;
}

#[tokio::test]
async fn g1_dead_while_renewed_tokens_come_home() {
    everywhere(
        "g1_dead_while_renewed_tokens_come_home",
        &["spool_replay.after"],
        &[
            "spool_replay.before",
            "commit.before",
            "commit.after",
            "spool_replay.after",
            "journal_rewrite.before",
            "journal_rewrite.after",
        ],
        |kind, point| async move {
            let mut stage = Stage::set(kind).await;
            let (ann, gate) = stage.away_while_a_refresh_answers().await;
            gate.add_permits(1);
            until::holds("the tokens are on disk", || {
                let log = stage.scene.gateway.log();
                log.contains("renewed tokens wait on disk")
            })
            .await;
            stage.scene.gateway.kill();
            if point.starts_with("journal_rewrite") {
                // Every start writes that file anew: dead in that, too.
                stage.scene.gateway.die_at(point);
                let (status, log) = stage.scene.gateway.plan().ends(&["serve"]).await;
                assert!(!status.success() && log.contains("dies at"), "{log}");
            }
            stage.starts_without_the_store(point).await;
            stage.is_not_signed_out(&ann, point).await;
            stage.dies_when_the_store_is_back(point).await;
            stage.the_token_came_home(&ann, point).await;
            stage.nothing_else_happened(point).await;
        },
    )
    .await;
}

#[tokio::test]
async fn g1_dead_in_a_sign_out_without_the_store() {
    everywhere(
        "g1_dead_in_a_sign_out_without_the_store",
        &["journal.written"],
        &[
            "tombstone.before",
            "tombstone.after",
            "journal.written",
            "sign_out.unanswered",
        ],
        |kind, point| async move {
            let mut stage = Stage::set(kind).await;
            let ann = stage.scene.signed_in(User::ann()).await;
            assert_eq!(stage.status(&ann).await, 200);
            let thief = ann.twin();
            stage.store_goes_away().await;
            stage.scene.gateway.die_at(point);
            let answer = stage.signs_out(&ann).await;
            assert!(answer.is_err(), "{point}: answered {answer:?}");
            stage.scene.gateway.dies(point).await;
            stage.starts_without_the_store(point).await;
            let written = !point.starts_with("tombstone");
            if written {
                for _ in 0..3 {
                    assert_eq!(stage.status(&thief).await, 401, "{point}: at once");
                }
            } else {
                stage.is_not_signed_out(&thief, point).await;
            }
            stage.store_comes_back().await;
            stage.scene.gateway.ready().await;
            if !written {
                // Nobody was told that she is out, and she is not; now she goes.
                assert_eq!(settled(&stage, &thief, point).await, 200, "{point}");
                let status = stage.signs_out(&ann).await.expect("answers");
                assert!(matches!(status, 200 | 303), "{point}: {status}");
            }
            stage.is_out_everywhere(&thief, point).await;
            stage.nothing_else_happened(point).await;
        },
    )
    .await;
}

#[tokio::test]
async fn g1_dead_while_the_store_is_told_of_a_sign_out() {
    everywhere(
        "g1_dead_while_the_store_is_told_of_a_sign_out",
        &["sign_out_replay.before"],
        &[
            "sign_out_replay.before",
            "tombstone.before",
            "tombstone.after",
            "sign_out_replay.after",
            "journal.adopted",
        ],
        |kind, point| async move {
            let mut stage = Stage::set(kind).await;
            let ann = stage.scene.signed_in(User::ann()).await;
            assert_eq!(stage.status(&ann).await, 200);
            let thief = ann.twin();
            let first = stage.scene.gateway.plan().clone();
            if point == "journal.adopted" {
                // A process beside it, with a journal of its own.
                let second = first.replica().start().await;
                let here = std::mem::replace(&mut stage.scene.gateway, second);
                let there = ann.twin();
                let gateway = &stage.scene.gateway;
                there.detour(&gateway.authority(), gateway.address());
                assert_eq!(stage.status(&there).await, 200);
                stage.store_goes_away().await;
                let status = stage.signs_out(&there).await.expect("answers");
                assert!(matches!(status, 200 | 303), "{point}: {status}");
                // The second one is gone for good; the first one finds what
                // it left when it starts.
                stage.scene.gateway = here;
                stage.scene.gateway.kill();
                stage.scene.gateway.die_at(point);
                let (status, log) = first.ends(&["serve"]).await;
                assert!(!status.success() && log.contains("dies at"), "{log}");
            } else {
                stage.store_goes_away().await;
                let status = stage.signs_out(&ann).await.expect("answers");
                assert!(matches!(status, 200 | 303), "{point}: {status}");
                stage.scene.gateway.kill();
            }
            stage.starts_without_the_store(point).await;
            assert_eq!(stage.status(&thief).await, 401, "{point}: at once");
            if point == "journal.adopted" {
                stage.store_comes_back().await;
                stage.scene.gateway.ready().await;
            } else {
                stage.dies_when_the_store_is_back(point).await;
            }
            stage.is_out_everywhere(&thief, point).await;
            stage.nothing_else_happened(point).await;
        },
    )
    .await;
}

/// The store is away before anybody here has read whose ticket it is.
#[tokio::test]
async fn g1_dead_in_a_sign_out_of_a_session_that_was_never_read() {
    everywhere(
        "g1_dead_in_a_sign_out_of_a_session_that_was_never_read",
        &["journal.written"],
        &[
            "journal.written",
            "sign_out.unanswered",
            "sign_out_replay.before",
            "get_ticket.after",
            "tombstone.after",
            "sign_out_replay.after",
        ],
        |kind, point| async move {
            let mut stage = Stage::set(kind).await;
            let ann = stage.scene.signed_in(User::ann()).await;
            let thief = ann.twin();
            stage.scene.gateway.kill();
            stage.store_goes_away().await;
            stage.scene.gateway.restart_unready().await;
            let in_the_outage = matches!(point, "journal.written" | "sign_out.unanswered");
            if in_the_outage {
                stage.scene.gateway.die_at(point);
                let answer = stage.signs_out(&ann).await;
                assert!(answer.is_err(), "{point}: answered {answer:?}");
                stage.scene.gateway.dies(point).await;
            } else {
                let status = stage.signs_out(&ann).await.expect("answers");
                assert!(matches!(status, 200 | 303), "{point}: {status}");
                stage.scene.gateway.kill();
            }
            stage.starts_without_the_store(point).await;
            assert_eq!(stage.status(&thief).await, 401, "{point}: at once");
            if in_the_outage {
                stage.store_comes_back().await;
                stage.scene.gateway.ready().await;
            } else {
                stage.dies_when_the_store_is_back(point).await;
            }
            stage.is_out_everywhere(&thief, point).await;
            stage.nothing_else_happened(point).await;
        },
    )
    .await;
}
