//! Answers on HTTP/2 streams. A client may stop reading one of its streams while its connection is well: hyper then does
//! not ask for more, and the backend's connection would wait for ever. So each body is moved by a task that gives up.

use crate::proxy::BodyError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;

/// A body that another task moves.
pub struct Pumped {
    /// `None` is the body's end; a channel that merely ends would make a part look whole.
    frames: mpsc::Receiver<Option<Result<Frame<Bytes>, BodyError>>>,
    is_over: bool,
}

/// Moves the body until its end, until nobody wants it, or until the client left a frame unread for too long.
pub fn pump<B>(mut body: B, unread: Option<Duration>) -> Pumped
where
    B: Body<Data = Bytes, Error = BodyError> + Send + Unpin + 'static,
{
    let (sender, frames) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            // The place first, then the frame: what is not wanted yet stays in the backend's socket.
            let place = match unread {
                Some(limit) => tokio::time::timeout(limit, sender.reserve()).await.ok().and_then(Result::ok),
                None => sender.reserve().await.ok(),
            };
            let Some(place) = place else { return };
            let frame = tokio::select! {
                frame = body.frame() => frame,
                () = sender.closed() => return,
            };
            let is_last = frame.is_none();
            place.send(frame);
            if is_last {
                return;
            }
        }
    });
    Pumped { frames, is_over: false }
}

impl Body for Pumped {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        self.frames.poll_recv(context).map(|frame| match frame {
            Some(None) => {
                self.is_over = true;
                None
            }
            Some(frame) => frame,
            None => Some(Err("the client left the answer unread".into())),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// So many frames; the guard tells when the body is gone.
    struct Frames(usize, #[expect(dead_code, reason = "its life is what it is for")] Arc<()>);

    impl Body for Frames {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            let left = self.0.checked_sub(1);
            self.0 = left.unwrap_or_default();
            Poll::Ready(left.map(|_| Ok(Frame::data(Bytes::from_static(b"x")))))
        }
    }

    async fn gone(guard: &Arc<()>) {
        while Arc::strong_count(guard) > 1 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn t4_a_stream_that_is_not_read_lets_the_backend_go_and_looks_broken() {
        let guard = Arc::new(());
        let start = tokio::time::Instant::now();
        let mut pumped = pump(Frames(usize::MAX, Arc::clone(&guard)), Some(Duration::from_secs(30)));
        gone(&guard).await;
        assert_eq!(start.elapsed().as_secs(), 30);
        // What had been moved arrives, and then no end but an error.
        assert!(pumped.frame().await.unwrap().is_ok());
        assert!(pumped.frame().await.unwrap().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn t6_a_stream_that_nobody_wants_lets_the_backend_go_at_once() {
        let guard = Arc::new(());
        let start = tokio::time::Instant::now();
        drop(pump(Frames(usize::MAX, Arc::clone(&guard)), Some(Duration::from_secs(30))));
        gone(&guard).await;
        assert!(start.elapsed() < Duration::from_secs(1));
    }

    #[tokio::test]
    async fn a_stream_that_is_read_arrives_whole() {
        let all = pump(Frames(50, Arc::default()), None).collect().await.unwrap().to_bytes();
        assert_eq!(all.len(), 50);
    }
}
