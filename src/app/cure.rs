//! What an operator does about each reason code. Never shown on a page: a
//! visitor can do nothing with it.
//!
//! `ID` in a key stands for the id of the provider or route that is spoken
//! of; [`cure_for`] puts it in.

/// The cure with the id of the provider or route put in. A code that nobody
/// knows has none; every code of this release has one.
pub fn cure_for(reason: &str, id: Option<&str>) -> Option<String> {
    let text = of_provider(reason)
        .or_else(|| of_sign_in(reason))
        .or_else(|| of_session(reason))
        .or_else(|| of_store(reason))
        .or_else(|| of_upstream(reason))
        .or_else(|| of_request(reason))
        .or_else(|| of_start(reason))?;
    Some(match id {
        Some(id) => text
            .replace("provider.ID", &format!("provider.{id}"))
            .replace("route.ID", &format!("route.{id}")),
        None => text.to_owned(),
    })
}

/// The conversation with the provider.
fn of_provider(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "network_unreachable" | "provider_unreachable" => {
            "see that the provider runs and that this machine reaches it: name, port, firewall, proxy. \
             provider.ID.internal_url names another way to the same provider"
        }
        "breaker_open" => {
            "the provider failed several times in a row and is left alone for a moment; nothing to do here: \
             look at the failures before this one"
        }
        "provider_busy" => {
            "too many calls wait for the provider: look why it is slow; limits.provider_parallel allows more"
        }
        "provider_error" | "provider_unavailable" | "discovery_failed" => {
            "the provider failed by itself: look into its log at this time; where discovery got HTTP 404, correct the path in provider.ID.issuer"
        }
        "rate_limited" => {
            "the provider asks us to slow down: raise its limit for this client, or look who signs in so often"
        }
        "outcome_unknown" => {
            "the connection broke after the request was sent: look for time-outs of the provider or of a proxy before it"
        }
        "tls_unknown_ca" => {
            "name the file with the certificate (PEM) of the authority that signed it in provider.ID.ca_file"
        }
        "tls_expired" => {
            "renew the provider's certificate, and see that this machine's clock is right"
        }
        "tls_wrong_name" => {
            "the provider's certificate is for another name: use the name that it is for in provider.ID.issuer"
        }
        "tls_failed" | "tls_error" => {
            "the provider speaks no TLS that is still safe, or none at all on this port: check the address and its TLS versions (1.2 or 1.3); \
             where the message says CaUsedAsEndEntity, give it a certificate with CA:FALSE"
        }
        "client_credentials_rejected" => {
            "copy client id and secret from the provider's page of this client once more, into provider.ID.client_id \
             and provider.ID.client_secret_file; a changed secret file is read without a restart"
        }
        "client_not_allowed" => {
            "allow this client the authorization code flow at the provider (also called standard flow or confidential web client)"
        }
        "redirect_uri_rejected" => {
            "register the redirect URI that `vestibule check` prints at the provider, character by character"
        }
        "refresh_not_allowed" => {
            "allow this client refresh tokens at the provider, or set provider.ID.offline_access = \"never\" and live with shorter sessions"
        }
        "scope_rejected" => {
            "allow this client the scopes at the provider, or take them out of provider.ID.scopes; \
             provider.ID.offline_access = \"never\" leaves offline_access out"
        }
        "clock_skew" => {
            "set the clock of this machine and of the provider by NTP: tokens carry times, and more than 60 s apart they are refused"
        }
        "bad_response" => {
            "the provider answered in a way that the specification does not know: see that provider.ID.issuer leads to \
             the provider itself and not to a page before it, and look into its log"
        }
        "issuer_mismatch" => {
            "write provider.ID.issuer exactly as the provider's discovery document spells it, slash at the end included"
        }
        "endpoint_refused" => {
            "the discovery document names an endpoint without https or on a private address: set the provider's public address \
             in its own settings, or name provider.ID.internal_url"
        }
        "provider_unsupported" => {
            "switch off at the provider, for this client, what the message names; this gateway does not speak it"
        }
        "provider_configuration" => {
            "correct the key that the message names; `vestibule check` says where it stands"
        }
        "provider_removed" | "unknown_provider" => {
            "the provider stood in the configuration before and is gone: bring its table back, or let people sign in anew"
        }
        "jwks_unknown_kid" => {
            "the provider signs with a key that it does not publish: several instances of it with different keys, \
             or a cache before its key set"
        }
        "id_token_missing" => {
            "scope openid must be among provider.ID.scopes, and the provider must speak OpenID Connect"
        }
        "id_token_invalid" | "id_token_malformed" | "id_token_signature" | "id_token_header"
        | "id_token_type" | "id_token_subject" | "id_token_at_hash" => {
            "the ID token is not what OpenID Connect asks for: look for a proxy that changes answers, and for a fault of the provider"
        }
        "id_token_algorithm" => {
            "let the provider sign ID tokens of this client with RS256, ES256 or another asymmetric algorithm"
        }
        "id_token_issuer" => {
            "the token names another issuer than provider.ID.issuer: set the provider's public address in its own settings"
        }
        "id_token_audience" => {
            "the token is for another client: compare provider.ID.client_id with the provider's page"
        }
        "id_token_expired" | "id_token_issued_at" | "id_token_not_yet_valid" => {
            "compare the clocks of this machine and of the provider; `vestibule check --live` tells the difference"
        }
        "id_token_nonce" => {
            "the token belongs to another sign-in: once it is chance or an attack, always it is a provider or proxy that keeps answers"
        }
        "userinfo_subject_mismatch" => {
            "userinfo and ID token name different people: a fault of the provider, or of a cache before it"
        }
        "response_issuer_mismatch" => {
            "an answer came from another provider than the one that was asked: perhaps an attack; compare `iss` with provider.ID.issuer"
        }
        "logout_token_age" => {
            "the logout token is too old, or the clocks differ: `vestibule check --live` tells the difference"
        }
        "logout_token_replayed" => {
            "the same logout token came again; nothing to do, the provider repeats itself or somebody copied it"
        }
        "logout_token_events"
        | "logout_token_jti"
        | "logout_token_nonce"
        | "logout_token_whom"
        | "logout_token_stranger" => {
            "what came is no logout token of the provider for this client: see that the provider speaks back-channel logout, \
             else look who sends it"
        }
        "upstream_grant_lost" => {
            "the provider lost the key of its refresh tokens: keep its data over restarts (Gitea: the jwt folder). \
             People sign in once more"
        }
        _ if reason.starts_with("logout_token_") => {
            "the provider's back-channel logout is not what was agreed: compare provider.ID.client_id and the clocks, \
             and look for somebody who replays or makes up logout tokens"
        }
        _ => return None,
    })
}

/// What happens between the first redirect and the session.
fn of_sign_in(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "login_state_unknown" => {
            "the answer reached a browser that did not start this sign-in: cookies blocked, another browser, \
             a bookmark of the way through, or somebody else's link. See that server.public_url is the address that people use"
        }
        "login_state_expired" => "the person took more than fifteen minutes; nothing to do",
        "login_spent" => "the page was loaded again; nothing to do, look at the first attempt",
        "login_denied" => {
            "the provider or the person said no: look whether the provider lets this person use this client"
        }
        "login_required" | "interaction_required" => {
            "the person has to answer something at the provider; nothing to do here"
        }
        "login_loop" => {
            "sign-ins work and end at once: see that browsers keep the cookie (server.public_url, https, session.cookie_domain) \
             and look at the reason of the ended sessions"
        }
        "session_cookie_missing" => {
            "the browser signed in and came back without its session cookie: see that server.public_url is the address \
             that people use, that it is https, and that nothing in between drops Set-Cookie"
        }
        "session_still_there" => {
            "the person was signed in all the time: something, perhaps the application, sends them to the sign-in again and again"
        }
        "too_many_sign_ins" => {
            "one address began more sign-ins than limits.login_starts_per_minute: raise it, or list the proxy in front in server.trusted_proxies"
        }
        "handoff_failed" => {
            "the sign-in could not be taken to the other host: see that the host reaches this gateway and that cookies are allowed there"
        }
        "code_rejected" => {
            "the provider did not know the code: it came too late, was used before, or by another client. \
             Always: several instances of the provider that do not share their state"
        }
        "csrf_failed" | "cross_site_post" => {
            "the form was old, or came from elsewhere; nothing to do"
        }
        "return_to_refused" => {
            "name the host in server.return_to_hosts if people may be sent there after signing in"
        }
        "sign_in_required" => "the person signs in; nothing to do",
        _ => return None,
    })
}

/// Sessions and their refreshes.
fn of_session(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "grant_expired_or_revoked" => {
            "the provider ended the grant: its own session settings, a new password, or an administrator. The person signs in once more"
        }
        "refresh_reused" => {
            "the provider saw a refresh token twice: look for a second gateway with a copy of the store, or a store that lost a write"
        }
        "rotation_lost" => {
            "a renewed token was lost between the provider and the store (crash, or a store that lost a write); the person signs in once more. \
             Often: look at the store's durability"
        }
        "subject_changed" => {
            "the provider answered for another person: a security event, look into its log"
        }
        "session_ended_by_idp" => {
            "the provider ended the session or disabled the person; nothing to do here"
        }
        "access_token_ended" => {
            "the provider gave no refresh token, so the session ends with its access token: allow refresh tokens for this client, \
             and see provider.ID.offline_access"
        }
        "identity_too_old" => {
            "the provider never tells again who the person is: allow refresh tokens or userinfo for this client, or raise session.identity_max_age"
        }
        "refresh_under_way" => {
            "another request renews the tokens; nothing to do. Often: the provider is slow"
        }
        "session_expired" => "session.lifetime was over; nothing to do",
        "session_idle" => "nobody used it for session.idle_timeout; nothing to do",
        "session_signed_out" => {
            "the person signed out, or somebody ended the session; nothing to do"
        }
        "session_replaced" => {
            "the same browser signed in anew, and the new session took its place; nothing to do"
        }
        "session_write_failed" => {
            "the session store failed while a sign-in was written, and what was there of the session was ended: look at the store"
        }
        "session_unknown" => {
            "the store does not know it any more: it was flushed, evicted or restored from an old copy. Redis: maxmemory-policy noeviction, appendonly yes"
        }
        "session_gone" => "the session ended while its tokens were renewed; nothing to do",
        "ticket_rejected" => {
            "the cookie is not ours or was changed; nothing to do. For everybody: compare keys.file of all replicas"
        }
        "ticket_key_unknown" => {
            "the cookie was made with a key that the ring lacks: keep an old key in keys.file for session.lifetime"
        }
        _ => return None,
    })
}

fn of_store(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "store_unavailable" => {
            "see that the store runs and answers in time: redis.url, network, disk of session.path; limits.store_timeout is the patience"
        }
        "store_refuses_writes" => {
            "the store is reached and takes no writes: a replica in place of the primary, too few replicas (min-replicas-to-write), memory full (maxmemory), or disk full"
        }
        "store_credentials_rejected" => {
            "compare redis.username and redis.password_file with the server's access list"
        }
        "store_record_corrupt" | "session_record_corrupt" => {
            "something in the store is not ours or does not open with our keys: another program below redis.key_prefix, \
             a key that is gone from keys.file, or a change from outside"
        }
        "key_ring_of_another_store" => {
            "bring back the key ring that wrote this store and name it in keys.file, or move the database away to begin anew"
        }
        "store_lost" | "store_not_reached_yet" => {
            "the store does not answer: look at the lines about the session store in the log"
        }
        _ => return None,
    })
}

fn of_upstream(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "upstream_unreachable" | "upstream_down" => {
            "start the application, and see that route.ID.upstream names where it listens"
        }
        "upstream_timeout" => {
            "the application does not accept or answer in time: look at its load; route.ID.response_timeout and limits.connect_timeout are the patience"
        }
        "upstream_broken" => {
            "the application broke off or does not speak HTTP/1.1 there: check http and https in route.ID.upstream, and its log"
        }
        "upstream_busy" => {
            "all connections to the application are in use: raise limits.upstream_connections or look why it is slow"
        }
        "upstream_tls_unknown_ca" | "upstream_untrusted" => {
            "name the certificate (PEM) of the authority that signed the application's in route.ID.upstream_tls.ca_file"
        }
        "upstream_tls_expired" => {
            "renew the application's certificate, and see that this machine's clock is right"
        }
        "upstream_tls_wrong_name" => {
            "the application's certificate is for another name: use that name in route.ID.upstream, or name it in route.ID.upstream_tls.server_name"
        }
        "upstream_tls_client_certificate" => {
            "the application wants a certificate of ours: name it in route.ID.upstream_tls.client_certificate_file"
        }
        "upstream_tls_failed" => {
            "the application speaks no TLS 1.2 or 1.3 on that port (perhaps it is http), or shows the certificate of an authority \
             (CaUsedAsEndEntity): give it one with CA:FALSE"
        }
        "upstream_unusable" => {
            "correct the file or name that the message tells of, in the keys of route.ID"
        }
        _ => return None,
    })
}

/// One request, and what the policy says of it.
fn of_request(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "not_admitted" | "denied_by_rule" | "route_denies" | "forbidden" => {
            "the rules say so: `vestibule explain` tells which rule, and what would have to be different"
        }
        "groups_unknown" | "claims_unknown" => {
            "the provider did not tell what the rule asks for: let it put the claim into the ID token or userinfo, \
             and see provider.ID.claims"
        }
        "email_unverified" => {
            "the provider has not verified the address: let the person verify it, or see provider.ID.email_verified"
        }
        "username_taken" => {
            "another person brought this name first: `vestibule names release` gives it to the next one"
        }
        "user_unknown" => {
            "the application asks for a name that the provider did not tell: see user_from of route.ID and provider.ID.claims"
        }
        "identity_unspeakable" | "identity_too_long" => {
            "a value cannot stand in a header: choose another claim with user_from of route.ID, or shorten the groups at the provider"
        }
        "no_route" | "not_found" => {
            "no route has this host and path; `vestibule explain` shows what is there"
        }
        "unknown_host" => {
            "no route has this host: add it to a route, or look who sends such requests"
        }
        "too_many_requests" | "overloaded" | "unavailable" => {
            "a limit of [limits] was reached: look who sends so much, or raise it"
        }
        "upgrade_cross_site" => {
            "a page of another site tried to open a web socket with somebody's session: an attack, or a host that is missing in the configuration"
        }
        "headers_too_large" | "body_too_large" => {
            "the request is larger than a limit: limits.request_head, or max_body of route.ID"
        }
        "request_timeout" | "body_stalled" | "body_broken" => {
            "the client stopped sending; nothing to do here"
        }
        "method_not_allowed" | "method_refused" | "method_trace" | "upgrade_malformed"
        | "upgrade_refused" => {
            "the client asks for something that is not served here; `upgrade = true` of a rule allows upgrades on open lanes"
        }
        "bad_request" | "host_missing" | "host_repeated" | "host_malformed"
        | "target_not_a_path" | "path_dot_segment" | "path_backslash" | "path_nul"
        | "path_bad_escape" | "path_raw_byte" => {
            "the client sent a request that servers read in different ways, so it is refused; look who sends it"
        }
        "path_encoded_slash" => {
            "`encoded_slash = true` of route.ID lets %2F in paths through, where the application needs it"
        }
        "internal" => {
            "a fault of this gateway: please report it with the lines of the log around it"
        }
        _ => return None,
    })
}

/// Only at a start.
fn of_start(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "bad_configuration" => "`vestibule check` tells every fault with its place and cure",
        "listen_failed" | "listen_in_use" => {
            "another program has the address, or it is not this machine's: see server.listen"
        }
        "certificate_ended" | "certificate_ends_soon" => {
            "put the renewed certificate with its chain into server.tls.certificate_file, and its key; no restart is needed"
        }
        "certificate_unusable" => {
            "put a certificate chain and its private key (PEM) that fit together into the files of server.tls; the message names what is wrong"
        }
        "workers_failed" => {
            "the system gives no more threads: raise its limit, or lower server.workers"
        }
        "log_level_unknown" | "log_already_set" => "correct log.level",
        "demo_folder" | "demo_key" | "demo_listen" => {
            "name another folder or port: `vestibule demo --help`"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
