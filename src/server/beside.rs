//! What the gateway answers itself is made beside the workers: sign-ins with
//! their cryptography and the questions they put to providers, its other
//! endpoints, and pages. Workers carry on with requests meanwhile.
//!
//! Not what takes less than the way there: problems told in JSON, and what
//! was made at the start. Where nobody waits any longer the work ends, unless
//! it ends sessions; the exchange of a code sees to that itself
//! (`login/exchange`).

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use http::Response;

use super::endpoints::Endpoint;
use super::entrance::leads_on;
use super::pending::Pending;
use super::render::{self, Manner, Trouble};
use super::service::{Answer, Inner};
use crate::base::body::Body;
use crate::model::context::{Audience, RequestContext};

/// On the heap, because it is rare: each connection has room for its largest
/// request.
type Work<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl Inner {
    /// An endpoint of ours.
    pub(super) fn own_beside<'a>(
        self: &'a Arc<Self>,
        endpoint: Endpoint,
        context: &RequestContext,
        manner: Manner,
        pending: &mut Pending,
    ) -> Work<'a, Answer> {
        let (head, body) = pending.take();
        if let Some(answer) = self.at_hand(&endpoint, context, &head.method) {
            return Box::pin(ready(answer));
        }
        let (inner, context) = (Arc::clone(self), context.clone());
        let ends_sessions = endpoint.ends_sessions();
        let work = async move { Ok(inner.own(endpoint, &context, manner, head, body).await) };
        if ends_sessions {
            // Whoever closes the browser at once has signed out all the same.
            Box::pin(self.offload.finish(work))
        } else {
            Box::pin(self.offload.run(work))
        }
    }

    /// Somebody without a session came to a session lane.
    pub(super) fn ask_beside<'a>(
        self: &'a Arc<Self>,
        context: &RequestContext,
        manner: Manner,
        pending: &mut Pending,
        redirect_allowed: bool,
        ended: Option<&'static str>,
    ) -> Work<'a, Answer> {
        if !leads_on(manner.audience, redirect_allowed) {
            return Box::pin(ready(Err(self.unauthorized(context, ended))));
        }
        let (head, body) = pending.take();
        let (inner, context) = (Arc::clone(self), context.clone());
        let work = async move {
            let headers = &head.headers;
            Ok(inner.ask_to_sign_in(&context, manner, headers, ended).await)
        };
        Box::pin(async move {
            // Nobody reads it; hyper learns so when the answer is there.
            let _body = body;
            self.offload.run(work).await
        })
    }

    pub(super) fn tell<'a>(
        self: &'a Arc<Self>,
        manner: Manner,
        trouble: Box<Trouble>,
    ) -> Work<'a, Response<Body>> {
        if manner.audience == Audience::Api {
            return Box::pin(ready(self.problem(manner, *trouble)));
        }
        let inner = Arc::clone(self);
        let work = async move { inner.problem(manner, *trouble) };
        Box::pin(self.offload.run(work))
    }

    pub(super) fn problem(&self, manner: Manner, trouble: Trouble) -> Response<Body> {
        render::problem(&self.pages, manner, trouble)
    }
}
