//! Changing the protocol of a connection: which requests may ask for it, and
//! which answers are believed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    self, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
};
use http::request::Parts;
use http::{Method, Version};

use super::error::ProxyError;
use super::hop_by_hop::{has_token, tokens};

/// RFC 6455 section 1.3.
const WEBSOCKET_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What the client wants its connection to become.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// The protocol, as the client wrote it.
    protocol: HeaderValue,
    /// What a websocket server has to answer.
    accept: Option<String>,
}

impl Wanted {
    /// `None`: an ordinary request. An upgrade to cleartext HTTP/2 is one,
    /// too (RFC 9113 took it back), so the fields are dropped with the rest
    /// of the connection's.
    pub(super) fn read(parts: &Parts, has_body: bool) -> Result<Option<Self>, ProxyError> {
        let headers = &parts.headers;
        let asks = headers.contains_key(header::UPGRADE)
            && has_token(headers, &header::CONNECTION, b"upgrade");
        if !asks {
            return Ok(None);
        }
        let mut wanted = tokens(headers, &header::UPGRADE);
        let (Some(protocol), None) = (wanted.next(), wanted.next()) else {
            return Err(ProxyError::MalformedUpgrade("not one protocol"));
        };
        if protocol.eq_ignore_ascii_case(b"h2c") || protocol.eq_ignore_ascii_case(b"h2") {
            return Ok(None);
        }
        if parts.version != Version::HTTP_11 {
            return Err(ProxyError::MalformedUpgrade("not HTTP/1.1"));
        }
        if has_body {
            return Err(ProxyError::MalformedUpgrade("with a body"));
        }
        let accept = protocol
            .eq_ignore_ascii_case(b"websocket")
            .then(|| websocket_accept(parts))
            .transpose()?;
        let protocol = HeaderValue::from_bytes(protocol)
            .map_err(|_| ProxyError::MalformedUpgrade("not one protocol"))?;
        Ok(Some(Self { protocol, accept }))
    }

    /// Puts the request for the upgrade back, after the fields of the
    /// client's own connection were taken out.
    pub(super) fn announce(&self, headers: &mut HeaderMap) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, self.protocol.clone());
    }

    /// Whether a 101 really answers this request.
    pub(super) fn judge(&self, headers: &HeaderMap) -> Result<(), ProxyError> {
        let mut answered = tokens(headers, &header::UPGRADE);
        let same = answered
            .next()
            .is_some_and(|protocol| protocol.eq_ignore_ascii_case(self.protocol.as_bytes()))
            && answered.next().is_none();
        if !same {
            return Err(ProxyError::Ambiguous("101 to another protocol"));
        }
        if let Some(accept) = &self.accept
            && single(headers, &SEC_WEBSOCKET_ACCEPT) != Some(accept.as_bytes())
        {
            return Err(ProxyError::Ambiguous("101 without the right accept key"));
        }
        Ok(())
    }
}

fn websocket_accept(parts: &Parts) -> Result<String, ProxyError> {
    if parts.method != Method::GET {
        return Err(ProxyError::MalformedUpgrade("websocket without GET"));
    }
    if single(&parts.headers, &SEC_WEBSOCKET_VERSION) != Some(b"13") {
        return Err(ProxyError::MalformedUpgrade("websocket version is not 13"));
    }
    let key = single(&parts.headers, &SEC_WEBSOCKET_KEY)
        .filter(|key| STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16))
        .ok_or(ProxyError::MalformedUpgrade("websocket key"))?;
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(WEBSOCKET_GUID);
    Ok(STANDARD.encode(context.finish()))
}

fn single<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).into_iter();
    let first = values.next()?;
    values
        .next()
        .is_none()
        .then(|| first.as_bytes().trim_ascii())
}
