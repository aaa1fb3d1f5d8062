//! What somebody without a session gets from a session lane.

use crate::model::context::Audience;
use crate::route::SessionHost;

/// The request path and `explain` ask for it with [`entrance`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entrance<'a> {
    /// 401, and no new state.
    Unauthorized,
    /// 302 to the page that lists the providers.
    SignInPage,
    /// 302 to `start` on the host that talks to the provider.
    Start,
    /// 302 to the provider itself.
    Provider,
    /// 302 to `start` at home, with a wish for a session on this host.
    HandOff(&'a SessionHost),
}

/// `redirect_allowed`: the lane does not insist on 401. `straight_on`: there
/// is one provider and no page before it. `hand_off`: the host has sessions of
/// its own, handed over from home.
pub fn entrance<'a>(
    audience: Audience,
    redirect_allowed: bool,
    straight_on: bool,
    public_host: bool,
    hand_off: Option<&'a SessionHost>,
) -> Entrance<'a> {
    match (audience, redirect_allowed) {
        (Audience::Navigation, true) if let Some(host) = hand_off => Entrance::HandOff(host),
        (Audience::Navigation, true) if !straight_on => Entrance::SignInPage,
        (Audience::Navigation, true) if !public_host => Entrance::Start,
        (Audience::Navigation, true) => Entrance::Provider,
        (Audience::Navigation, false) | (Audience::Form | Audience::Api, _) => {
            Entrance::Unauthorized
        }
    }
}
