//! The last answer of an upstream connection.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::line::Line;
use crate::base::body::{Body, BoxError};

/// Ends its connection once it is over or nobody wants it any more: the
/// request that it answers was never finished, and none may follow it.
pub(super) struct LastBody {
    inner: Body,
    line: Arc<Line>,
}

impl LastBody {
    pub(super) fn on(line: Arc<Line>, inner: Body) -> Body {
        if inner.is_end_stream() {
            line.end();
            return inner;
        }
        Body::watched(Self { inner, line })
    }
}

impl Drop for LastBody {
    fn drop(&mut self) {
        self.line.end();
    }
}

impl HttpBody for LastBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
