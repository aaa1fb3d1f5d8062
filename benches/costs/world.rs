//! A provider, an origin, a gateway's plan and people with sessions.

use std::ops::Range;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use vestibule::base::clock::Clock;
use vestibule::base::random;
use vestibule::session::sessions::NewSession;
use vestibule::session::ticket::Scope;

use crate::Failure;
use crate::harness::gateway::Plan;
use crate::harness::planted::Planter;
use crate::harness::provider::Provider;
use crate::load;
use crate::origin::Origin;
use crate::work::{PATH, Size, identity, routes, tokens};

/// Writes under way at once.
const AT_ONCE: usize = 256;

pub struct World {
    pub plan: Plan,
    pub origin: Origin,
    pub provider: Provider,
    size: Size,
}

impl World {
    /// The provider and the origin run, the gateway is planned.
    pub async fn new(size: Size) -> Result<Self, Failure> {
        let provider = Provider::start("oidc-plain").await;
        let origin = Origin::start(1024, "\r\nremote-user: person-").await?;
        let upstream = format!("http://{}", origin.address);
        let plan = Plan::bare(&provider.issuer)
            .log_level("info")
            .server("workers = 1")
            .route(&routes(size, &upstream));
        Ok(Self {
            plan,
            origin,
            provider,
            size,
        })
    }

    /// Writes sessions with these numbers into the gateway's store and gives
    /// the request heads of `kept` of them, spread over all.
    pub async fn plant(&self, numbers: Range<usize>, kept: usize) -> Result<Vec<Vec<u8>>, Failure> {
        let planter = Planter::of(&self.plan);
        let every = (numbers.len() / kept.max(1)).max(1);
        let planter = &planter;
        let heads: Vec<Option<Vec<u8>>> = stream::iter(numbers)
            .map(|number| async move {
                let cookie = self.person(planter, number).await?;
                let wanted = number.is_multiple_of(every) && number / every < kept;
                Ok::<_, Failure>(wanted.then(|| self.head(&cookie)))
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        Ok(heads.into_iter().flatten().collect())
    }

    async fn person(&self, planter: &Planter, number: usize) -> Result<String, Failure> {
        let mut identity = identity(self.size.groups);
        identity.issuer.clone_from(&self.provider.issuer);
        identity.subject = format!("person-{number}-1b7e-4f0e-9a55-0d8f3f1f6a11");
        identity.provider_session = Some(format!("session-{number}-4f0e-9a55-0d8f3f1f6a11"));
        let now = Clock::system().now();
        let (tokens, seed) = (tokens(now), random::bytes::<32>());
        let scope = Scope("app.localhost".to_owned());
        let made = planter.sessions.create(NewSession {
            identity: &identity,
            tokens: &tokens,
            scope: &scope,
            seed: &seed,
            user_agent: None,
            began_at: now,
        });
        let (ticket, _) = made.await.map_err(|error| error.to_string())?;
        Ok(planter.sessions.ticket_text(&ticket))
    }

    fn head(&self, cookie: &str) -> Vec<u8> {
        let authority = format!("app.localhost:{}", self.plan.port());
        load::head(&authority, PATH, &format!("vestibule={cookie}"))
    }
}

/// Takes a few of `heads`, in turn.
pub fn first(heads: &[Vec<u8>], count: usize) -> Arc<[Vec<u8>]> {
    heads.iter().take(count).cloned().collect()
}
