//! A page on its way, with one element more. Nothing is held back but a tag that came in half.

use bytes::Bytes;
use http_body::{Body, Frame};
use lol_html::html_content::ContentType;
use lol_html::send::{ElementContentHandlers, HtmlRewriter, Settings};
use lol_html::{AsciiCompatibleEncoding, MemorySettings, Selector};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

/// Bytes of one tag that came in parts: a picture in an attribute is the largest that pages hold.
const LONGEST_TAG: usize = 16 * 1024 * 1024;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Output = Arc<Mutex<Vec<u8>>>;
type Sink = Box<dyn FnMut(&[u8]) + Send>;

/// The body of a page with an element put in: first in `<head>`, or before the first element where no head is written.
pub struct Injected<B> {
    inner: B,
    state: State,
    output: Output,
    after: VecDeque<Frame<Bytes>>,
}

enum State {
    /// Nothing has come yet.
    New(String, AsciiCompatibleEncoding),
    Rewriting(Box<HtmlRewriter<'static, Sink>>),
    /// The rest goes as it comes.
    Through,
    Ended,
}

impl<B> Injected<B> {
    pub fn new(inner: B, element: String, encoding: AsciiCompatibleEncoding) -> Self {
        Self { inner, state: State::New(element, encoding), output: Output::default(), after: VecDeque::new() }
    }

    fn write(&mut self, bytes: Bytes) -> Result<Bytes, Failure> {
        if let State::New(element, encoding) = &mut self.state {
            // A byte order mark of UTF-16 speaks louder than the head: no tag of ours can stand there.
            self.state = if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
                State::Through
            } else {
                State::Rewriting(Box::new(rewriter(std::mem::take(element), *encoding, Arc::clone(&self.output))?))
            };
        }
        match &mut self.state {
            State::Rewriting(rewriter) => {
                rewriter.write(&bytes)?;
                Ok(self.take())
            }
            _ => Ok(bytes),
        }
    }

    fn end(&mut self) -> Result<Bytes, Failure> {
        if let State::Rewriting(rewriter) = std::mem::replace(&mut self.state, State::Ended) {
            rewriter.end()?;
        }
        Ok(self.take())
    }

    fn take(&self) -> Bytes {
        Bytes::from(std::mem::take(&mut *self.output.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn rewriter(element: String, encoding: AsciiCompatibleEncoding, output: Output) -> Result<HtmlRewriter<'static, Sink>, Failure> {
    let mut element = Some(element);
    let every: Selector = "*".parse()?;
    let handler = move |found: &mut lol_html::send::Element<'_, '_>| {
        match found.tag_name().as_str() {
            // Where a head may still be written.
            "html" => {}
            "head" => {
                if let Some(element) = element.take() {
                    found.prepend(&element, ContentType::Html);
                }
            }
            _ => {
                if let Some(element) = element.take() {
                    found.before(&element, ContentType::Html);
                }
            }
        }
        Ok(())
    };
    let sink: Sink = Box::new(move |chunk: &[u8]| output.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(chunk));
    let settings = Settings {
        element_content_handlers: vec![(Cow::Owned(every), ElementContentHandlers::default().element(handler))],
        encoding,
        memory_settings: MemorySettings { max_allowed_memory_usage: LONGEST_TAG, ..MemorySettings::default() },
        // What is ambiguous is for the browser to make sense of, as it would without us.
        strict: false,
        ..Settings::new_send()
    };
    Ok(HtmlRewriter::new(settings, sink))
}

impl<B: Body<Data = Bytes, Error: Into<Failure>> + Unpin> Body for Injected<B> {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        loop {
            if let Some(frame) = self.after.pop_front() {
                return Poll::Ready(Some(Ok(frame)));
            }
            if matches!(self.state, State::Ended) {
                return Poll::Ready(None);
            }
            let frame = match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => {
                    let last = self.end()?;
                    self.state = State::Ended;
                    if !last.is_empty() {
                        self.after.push_back(Frame::data(last));
                    }
                    continue;
                }
            };
            match frame.into_data() {
                Ok(data) => {
                    let written = self.write(data)?;
                    if !written.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(written))));
                    }
                }
                // Trailers come after all data.
                Err(trailers) => {
                    let last = self.end()?;
                    if !last.is_empty() {
                        self.after.push_back(Frame::data(last));
                    }
                    self.after.push_back(trailers);
                    self.state = State::Ended;
                }
            }
        }
    }
}

impl<B> std::fmt::Debug for Injected<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Injected").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt as _, StreamBody};
    use proptest::prelude::*;

    const ELEMENT: &str = "<script src=\"/a\"></script>";

    /// The page in pieces of so many bytes, and with trailers if asked for.
    fn injected(page: &[u8], piece: usize) -> Vec<u8> {
        let pieces: Vec<_> = page.chunks(piece.max(1)).map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece)))).collect();
        let body = StreamBody::new(tokio_stream(pieces));
        let body = Injected::new(body, ELEMENT.to_owned(), AsciiCompatibleEncoding::utf_8());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(body.collect()).unwrap().to_bytes().to_vec()
    }

    fn tokio_stream(pieces: Vec<Result<Frame<Bytes>, Failure>>) -> impl futures_core::Stream<Item = Result<Frame<Bytes>, Failure>> + Unpin {
        struct All(std::vec::IntoIter<Result<Frame<Bytes>, Failure>>);
        impl futures_core::Stream for All {
            type Item = Result<Frame<Bytes>, Failure>;
            fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
                Poll::Ready(self.0.next())
            }
        }
        All(pieces.into_iter())
    }

    #[test]
    fn b8_the_element_comes_first_in_the_head() {
        // The element takes the place of the star.
        let table = [
            "<!doctype html><html><head>*<title>x</title></head><body>y</body></html>",
            "<HEAD lang=en>*\n<meta charset=utf-8>",
            "<!-- <head> -->*<p>no head</p><head>late</head>",
            "<html>*<body>y",
            "*<title><head></title><p>",
            "*<script>'<head>'</script><b>",
        ];
        for page in table {
            for piece in [1, 2, 3, 7, 1000] {
                let out = injected(page.replace('*', "").as_bytes(), piece);
                assert_eq!(String::from_utf8(out).unwrap(), page.replace('*', ELEMENT), "{page} by {piece}");
            }
        }
    }

    #[test]
    fn b8_what_has_no_element_or_is_utf_16_stays_as_it_is() {
        let utf_16: Vec<u8> = "\u{feff}<head>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for page in [&b""[..], b"just text", b"<", b"<!-- <head>", &utf_16] {
            assert_eq!(injected(page, 5), page);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        /// Whatever comes, in whatever pieces: all of it goes on, and one element at most comes to it.
        #[test]
        fn b8_every_other_byte_stays(page in proptest::collection::vec(prop_oneof![
            Just(b"<head>".to_vec()), Just(b"<p a='".to_vec()), Just(b"'>".to_vec()), Just(b"<!--".to_vec()), Just(b"-->".to_vec()),
            Just(b"<script>".to_vec()), Just(b"</script>".to_vec()), Just(b"<svg><title>".to_vec()), Just(b"<select>".to_vec()),
            Just(b"\xe4\xff\x00".to_vec()), proptest::collection::vec(any::<u8>(), 0..6),
        ], 0..20), piece in 1_usize..40) {
            let page = page.concat();
            let out = injected(&page, piece);
            let places: Vec<_> = out.windows(ELEMENT.len()).enumerate().filter(|(_, part)| *part == ELEMENT.as_bytes()).map(|(at, _)| at).collect();
            prop_assert!(places.len() <= 1);
            let rest = match places.first() {
                Some(at) => [&out[..*at], &out[at + ELEMENT.len()..]].concat(),
                None => out,
            };
            prop_assert_eq!(rest, page);
        }
    }
}
