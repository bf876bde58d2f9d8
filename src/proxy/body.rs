//! The body of an answer: the backend's, as it streams, or a few bytes of our own.

use super::streams::Registration;
use crate::rewrite::Injected;
use crate::upstream::Download;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Why a body breaks off.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// Streams through; a break in the backend's body breaks the client's, so that nobody takes a part for the whole.
#[derive(Debug)]
pub enum AnswerBody {
    Backend(Download),
    /// An event stream, which may have to end with its session.
    Events(Download, Box<Registration>),
    /// A page with the browser client in it.
    Page(Box<Injected<Download>>),
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
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Backend(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
            Self::Events(body, registration) => match Pin::new(&mut registration.end).poll(context) {
                // A clean end: the browser comes again, and is judged anew.
                Poll::Ready(_) => Poll::Ready(None),
                Poll::Pending => Pin::new(body).poll_frame(context).map_err(Into::into),
            },
            Self::Page(body) => Pin::new(body).poll_frame(context),
            Self::Own(body) => Pin::new(body).poll_frame(context).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Backend(body) | Self::Events(body, _) => body.is_end_stream(),
            Self::Page(body) => body.is_end_stream(),
            Self::Own(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Backend(body) | Self::Events(body, _) => body.size_hint(),
            Self::Page(body) => body.size_hint(),
            Self::Own(body) => body.size_hint(),
        }
    }
}
