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

/// Whether somebody without a session is sent anywhere: only a navigation
/// can follow.
pub(super) fn leads_on(audience: Audience, redirect_allowed: bool) -> bool {
    audience == Audience::Navigation && redirect_allowed
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
    if !leads_on(audience, redirect_allowed) {
        return Entrance::Unauthorized;
    }
    match hand_off {
        Some(host) => Entrance::HandOff(host),
        None if !straight_on => Entrance::SignInPage,
        None if !public_host => Entrance::Start,
        None => Entrance::Provider,
    }
}
