//! A request until somebody takes it along.

use http::request::Parts as Head;
use http::{HeaderMap, Request};
use hyper::body::Incoming;

/// It is large, and each step that got it by value would move it. So the
/// steps share it, and the last one takes it, once.
pub(super) struct Pending(Option<Request<Incoming>>);

const THERE: &str = "the step that takes a request is the last one";

impl Pending {
    pub(super) const fn new(request: Request<Incoming>) -> Self {
        Self(Some(request))
    }

    pub(super) fn request(&self) -> &Request<Incoming> {
        self.0.as_ref().expect(THERE)
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.request().headers()
    }

    pub(super) fn headers_mut(&mut self) -> &mut HeaderMap {
        self.0.as_mut().expect(THERE).headers_mut()
    }

    pub(super) fn take(&mut self) -> (Head, Incoming) {
        self.0.take().expect(THERE).into_parts()
    }
}
