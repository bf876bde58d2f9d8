//! The body of an answer: the backend's, as it streams, or a few bytes of our own.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Streams through; a break in the backend's body breaks the client's, so that nobody takes a part for the whole.
#[derive(Debug)]
pub enum AnswerBody {
    Backend(Incoming),
    Own(Full<Bytes>),
}

impl AnswerBody {
    #[must_use]
    pub fn own(bytes: impl Into<Bytes>) -> Self {
        Self::Own(Full::new(bytes.into()))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Backend(body) => Pin::new(body).poll_frame(context),
            Self::Own(body) => Pin::new(body).poll_frame(context).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Backend(body) => body.is_end_stream(),
            Self::Own(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Backend(body) => body.size_hint(),
            Self::Own(body) => body.size_hint(),
        }
    }
}
