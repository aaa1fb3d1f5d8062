//! What somebody without a session gets from a session lane.

use crate::model::context::Audience;

/// The request path and `explain` ask for it with [`entrance`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entrance {
    /// 401, and no new state.
    Unauthorized,
    /// 302 to the page that lists the providers.
    SignInPage,
    /// 302 to `start` on the host that talks to the provider.
    Start,
    /// 302 to the provider itself.
    Provider,
}

/// `redirect_allowed`: the lane does not insist on 401. `straight_on`: there
/// is one provider and no page before it.
pub fn entrance(
    audience: Audience,
    redirect_allowed: bool,
    straight_on: bool,
    public_host: bool,
) -> Entrance {
    match (audience, redirect_allowed) {
        (Audience::Navigation, true) if !straight_on => Entrance::SignInPage,
        (Audience::Navigation, true) if !public_host => Entrance::Start,
        (Audience::Navigation, true) => Entrance::Provider,
        (Audience::Navigation, false) | (Audience::Form | Audience::Api, _) => {
            Entrance::Unauthorized
        }
    }
}
