//! The body of a POST to one of our own endpoints: small, and soon here.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use crate::base::body::BoxError;
use crate::base::bounded_body::{self, ReadError};

/// Forms of ours are tiny, and come at once.
const FORM_LIMIT: usize = 16 * 1024;
pub(super) const FORM_WAIT: Duration = Duration::from_secs(10);

/// A form, or how it failed. Without an end to the waiting a few thousand
/// stalled forms would take every place among the requests in flight.
pub(super) async fn read<B>(
    body: B,
    patience: Duration,
) -> Result<Bytes, (StatusCode, &'static str)>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    match tokio::time::timeout(patience, bounded_body::read(body, FORM_LIMIT)).await {
        Ok(Ok(form)) => Ok(form),
        Ok(Err(ReadError::TooLarge { .. })) => {
            Err((StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"))
        }
        Ok(Err(ReadError::Broken(_))) => Err((StatusCode::BAD_REQUEST, "body_broken")),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "request_timeout")),
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{Full, StreamBody};

    use super::*;

    #[tokio::test]
    async fn sec_dos_02_a_form_that_never_ends_gives_its_place_back() {
        type Frame = Result<http_body::Frame<Bytes>, std::io::Error>;
        let stalled = StreamBody::new(futures_util::stream::pending::<Frame>());
        let (status, _) = read(stalled, Duration::from_millis(20)).await.unwrap_err();
        assert_eq!(status, StatusCode::REQUEST_TIMEOUT);
        let long = Full::new(Bytes::from(vec![b'a'; FORM_LIMIT + 1]));
        let (status, _) = read(long, FORM_WAIT).await.unwrap_err();
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
        let form = read(Full::new(Bytes::from_static(b"rd=/")), FORM_WAIT).await;
        assert_eq!(form.unwrap(), "rd=/");
    }
}
