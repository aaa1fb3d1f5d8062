//! Reasons in English.

use super::Text;

pub(super) fn of_code(code: &str) -> Option<Text> {
    Some(match code {
        "login_state_unknown" => Text {
            title: "This sign-in was not started here",
            happened: "The answer of your identity provider came back to a browser that did not start this sign-in, or too much time has passed. Nothing was changed.",
            next: "Start the sign-in again. If this page comes back, allow cookies for this site and stay in one browser from beginning to end.",
        },
        "login_state_expired" => Text {
            title: "This sign-in took too long",
            happened: "The sign-in was started a while ago and is no longer valid. Nothing is wrong with your account.",
            next: "Start the sign-in again and finish it in one go.",
        },
        "login_spent" => Text {
            title: "This sign-in was already used",
            happened: "The page was reloaded or opened twice, and a sign-in can be used only once.",
            next: "Start the sign-in again. If you are signed in already, go back to the application.",
        },
        "login_denied" => Text {
            title: "The sign-in was cancelled",
            happened: "Your identity provider says that access was declined, by you or by a rule of your organisation.",
            next: "If you pressed cancel by mistake, try again. Otherwise ask the people who run this site.",
        },
        "login_loop" => Text {
            title: "The sign-in keeps coming back",
            happened: "You signed in several times within a minute, and each time another sign-in was asked for at once. We stopped here, so that you are not sent around in circles.",
            next: "If it comes back after a minute, ask for help and include the line below.",
        },
        "handoff_failed" => Text {
            title: "The sign-in did not arrive here",
            happened: "You are signed in, but this browser could not take the sign-in along to this site. Its address was used before, is too old, or belongs to another browser.",
            next: "Open the site again from the beginning. If this page comes back, allow cookies for this site.",
        },
        "login_required" => Text {
            title: "Please sign in at your identity provider",
            happened: "Your identity provider wants to ask you something before it lets you in.",
            next: "Start the sign-in again and answer what it asks.",
        },
        "provider_error" => Text {
            title: "Your identity provider reported a problem",
            happened: "The service that checks who you are answered with an error, so the sign-in could not be finished. Your account is not affected.",
            next: "Try again in a moment. If it goes on, ask for help and include the line below.",
        },
        "provider_unreachable" => Text {
            title: "Your identity provider cannot be reached",
            happened: "The service that checks who you are does not answer at the moment. Most people who are signed in can go on working.",
            next: "Try again in a moment.",
        },
        "outcome_unknown" => Text {
            title: "The sign-in was interrupted",
            happened: "The connection to your identity provider broke off before its answer arrived.",
            next: "Try again. You will probably not have to enter your password a second time.",
        },
        "client_credentials_rejected" => Text {
            title: "Sign-in is being repaired",
            happened: "Your identity provider does not accept this site at the moment. That is not your fault, and your account is fine.",
            next: "The people who run this site can find the cause in their log. Please try again later.",
        },
        "clock_skew" => Text {
            title: "The clocks do not agree",
            happened: "This site and your identity provider disagree about the time, so the sign-in could not be checked.",
            next: "The people who run this site can find the cause in their log. Please try again later.",
        },
        "rate_limited" => Text {
            title: "Your identity provider asks us to slow down",
            happened: "It received too many requests in a short time and takes no more for the moment.",
            next: "Wait a little, then try again.",
        },
        "tls_failed" => Text {
            title: "No safe connection to your identity provider",
            happened: "The connection to the service that checks who you are could not be secured, so nothing was sent.",
            next: "The people who run this site can find the cause in their log. Please try again later.",
        },
        "id_token_invalid" => Text {
            title: "The sign-in could not be verified",
            happened: "What your identity provider sent did not pass our checks, so you were not signed in.",
            next: "Try again. If it happens again, ask for help and include the line below.",
        },
        "subject_changed" => Text {
            title: "The account changed during the session",
            happened: "Your identity provider suddenly named another person for this session. To be safe, the session was ended.",
            next: "Sign in again with the account that you want to use.",
        },
        "provider_unavailable" => Text {
            title: "Your identity provider takes no sign-ins right now",
            happened: "The service that checks who you are says that it is overloaded or under repair for the moment. Your account is not affected.",
            next: "Try again in a moment.",
        },
        "code_rejected" => Text {
            title: "The sign-in could not be completed",
            happened: "Your identity provider did not accept its own answer any more when we showed it. That happens when an answer is too old or was used before.",
            next: "Start the sign-in again. If it happens again, ask for help and include the line below.",
        },
        "session_unknown" => Text {
            title: "Please sign in again",
            happened: "This service does not know the session any more that your browser showed.",
            next: "Sign in again to go on where you were.",
        },
        "session_signed_out" => Text {
            title: "You were signed out",
            happened: "The session that your browser showed was signed out, here or in another window.",
            next: "Sign in again to go on.",
        },
        "session_cookie_missing" => Text {
            title: "Your browser did not show your session",
            happened: "You were signed in, but your browser did not keep the cookie that proves it, or did not send it back.",
            next: "Allow cookies for this site and try again.",
        },
        "session_still_there" => Text {
            title: "You are signed in already",
            happened: "You were signed in all the time, but something asked for another sign-in, for example the application behind this page.",
            next: "Go back to the application. If it asks again, tell the people who run this site.",
        },
        "session_ended_by_idp" => Text {
            title: "Your session was ended",
            happened: "Your identity provider ended this session, for example because you signed out somewhere else.",
            next: "Sign in again to go on.",
        },
        "grant_expired_or_revoked" => Text {
            title: "Please sign in again",
            happened: "Your session is over: it became too old, or it was ended at your identity provider.",
            next: "Sign in again to go on where you were.",
        },
        "store_unavailable" => Text {
            title: "Not available for a moment",
            happened: "A part of this service that remembers who is signed in does not answer. You have not been signed out.",
            next: "Try again in a moment. The page you wanted will be there.",
        },
        "store_refuses_writes" => Text {
            title: "New sign-ins are paused",
            happened: "This service cannot remember new sessions at the moment. People who are signed in can go on working.",
            next: "Try again in a few minutes.",
        },
        "not_admitted" => Text {
            title: "You do not have access",
            happened: "You are signed in, but this account is not on the list of people who may open this page.",
            next: "Use another account if you have one, or ask the people who run this site for access.",
        },
        "route_denies" => Text {
            title: "This page is closed",
            happened: "This address is not open to anybody.",
            next: "Check the address, or go back to the page you came from.",
        },
        "groups_unknown" => Text {
            title: "Your groups could not be read",
            happened: "Access to this page depends on the groups you are in, and your identity provider did not tell them.",
            next: "Sign in again. If that does not help, ask the people who run this site.",
        },
        "username_taken" => Text {
            title: "This name belongs to somebody else",
            happened: "This application knows people by their name or mail address, and somebody with another account used yours here first. To keep the two of you apart, you are not let in under it.",
            next: "Ask the people who run this site to release the name, if it should be yours. If you have another account, sign in with that one.",
        },
        "user_unknown" => Text {
            title: "Your name could not be read",
            happened: "This application knows people by their name or mail address, and your identity provider did not tell it, or has not verified the address.",
            next: "Complete or verify it at your identity provider and sign in again. If that does not help, ask the people who run this site.",
        },
        "forbidden" => Text {
            title: "You may not open this",
            happened: "The request was understood, but it is not allowed.",
            next: "Go back to the page you came from, or use another account.",
        },
        "no_route" => Text {
            title: "There is nothing at this address",
            happened: "No application here answers to this address.",
            next: "Check the address for typing errors.",
        },
        "not_found" => Text {
            title: "Page not found",
            happened: "There is no page at this address.",
            next: "Check the address for typing errors, or go back to the page you came from.",
        },
        "unknown_host" => Text {
            title: "This site is not served here",
            happened: "Your browser asked for a site name that this server does not know.",
            next: "Check the name in the address bar. If you followed a link, tell the person who gave it to you.",
        },
        "bad_request" => Text {
            title: "The request could not be understood",
            happened: "Your browser sent something that does not follow the rules, for example a damaged link.",
            next: "Check the address, or go back and try again.",
        },
        "method_not_allowed" => Text {
            title: "That does not work here",
            happened: "This page cannot be used in that way.",
            next: "Go back and try again from the page you came from.",
        },
        "request_timeout" => Text {
            title: "The request took too long",
            happened: "Your browser did not finish sending in time.",
            next: "Check your connection and try again.",
        },
        "upstream_unreachable" => Text {
            title: "The application is not answering",
            happened: "You are at the right place, but the application behind this page cannot be reached at the moment.",
            next: "Try again in a moment. If it goes on, ask for help and include the line below.",
        },
        "upstream_down" => Text {
            title: "The application is down",
            happened: "You are at the right place, but the application behind this page has not been reachable for a while.",
            next: "Try again in a moment. If it goes on, ask for help and include the line below.",
        },
        "upstream_untrusted" => Text {
            title: "The application cannot be trusted right now",
            happened: "The application behind this page could not show that it is the right one, or did not accept us. Nothing was sent to it.",
            next: "Ask for help and include the line below. Trying again will hardly change it.",
        },
        "upstream_timeout" => Text {
            title: "The application takes too long",
            happened: "The application behind this page did not answer in time.",
            next: "Try again in a moment. If you sent something, check first whether it arrived.",
        },
        "upstream_broken" => Text {
            title: "The application broke off",
            happened: "The application behind this page sent an answer that cannot be used.",
            next: "Try again in a moment. If you sent something, check first whether it arrived.",
        },
        "body_too_large" => Text {
            title: "That is too large",
            happened: "What you sent is larger than this site accepts. It was not delivered.",
            next: "Send a smaller file, or split it into parts.",
        },
        "headers_too_large" => Text {
            title: "The request is too long",
            happened: "The address or the cookies that your browser sent are longer than this site accepts.",
            next: "Shorten the address, or delete the cookies of this site and try again.",
        },
        "too_many_requests" => Text {
            title: "Too many attempts",
            happened: "A lot of requests came from your network in a short time.",
            next: "Wait a minute, then try again.",
        },
        "overloaded" => Text {
            title: "Very busy right now",
            happened: "This site receives more requests than it can serve.",
            next: "Try again in a moment.",
        },
        "sign_in_required" => Text {
            title: "Please sign in",
            happened: "This page is only for people who are signed in, and your session has ended or never began.",
            next: "Sign in, then try again.",
        },
        "csrf_failed" => Text {
            title: "Please confirm once more",
            happened: "The request did not come from a page of this site, or that page was too old. Nothing was done.",
            next: "Go back, reload the page and try again.",
        },
        "return_to_refused" => Text {
            title: "That link leads somewhere else",
            happened: "The link asked to send you on to an address that does not belong to this site, so we stopped here.",
            next: "Go to the start page, or open the application by its own address.",
        },
        "unavailable" => Text {
            title: "Not available right now",
            happened: "This service cannot answer at the moment.",
            next: "Try again in a moment.",
        },
        "internal" => Text {
            title: "Something went wrong here",
            happened: "We made a mistake while answering. It has been written down under the reference below.",
            next: "Try again. If it happens again, ask for help and include the line below.",
        },
        _ => return None,
    })
}
