//! Editing a header map without losing what a legacy peer may rely on.
//!
//! `HeaderMap::remove` moves the last field into the gap and so reorders the rest; here fields are removed by writing
//! the others anew, in order.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body::Frame;

/// Fields of one connection that no proxy passes on (RFC 9110 §7.6.1), besides those that `Connection` names.
/// `TE: trailers` is the exception, for it says what the client can take.
const HOP_BY_HOP: [HeaderName; 5] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Fields that hyper takes without being told; told any number, even this, it makes room on the heap for each message.
pub const HYPERS_MAX_FIELDS: usize = 100;

/// Seconds until it is worth asking again for what a lost store stops: one that comes back is found sooner.
pub const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");
/// What to say then.
pub const STORE_LOST: &str = "sessions cannot be checked for a moment; this one has not ended";

/// Keeps the fields for which `is_kept` holds, in their order, and removes all others.
pub fn retain(headers: &mut HeaderMap, is_kept: impl Fn(&HeaderName, &HeaderValue) -> bool) {
    if headers.iter().all(|(name, value)| is_kept(name, value)) {
        return;
    }
    let mut kept = HeaderMap::with_capacity(headers.len());
    let mut last = None;
    for (name, value) in std::mem::take(headers) {
        // A field's further values come without its name.
        last = name.or(last);
        if let Some(name) = &last
            && is_kept(name, &value)
        {
            kept.append(name.clone(), value);
        }
    }
    *headers = kept;
}

/// Removes what belongs to the connection that the message came over, and what else is not to be kept: both in one walk.
pub fn remove_hop_by_hop(headers: &mut HeaderMap, is_kept: impl Fn(&HeaderName) -> bool) {
    let is_usual = |option: &[u8]| [&b"keep-alive"[..], b"close", b"upgrade"].iter().any(|usual| option.eq_ignore_ascii_case(usual));
    let named = connection_options(headers).filter(|option| !is_usual(option));
    let named: Vec<HeaderName> = named.filter_map(|option| HeaderName::from_bytes(option).ok()).collect();
    retain(headers, |name, value| {
        if *name == header::TE {
            return list(value).any(|coding| coding.eq_ignore_ascii_case(b"trailers"));
        }
        !is_hop_by_hop(name) && !named.contains(name) && is_kept(name)
    });
    // Other codings were between us and the client.
    if headers.contains_key(header::TE) {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    // Few names are as long as one of these, and a length is quickly compared.
    matches!(name.as_str().len(), 7 | 10 | 16 | 17) && HOP_BY_HOP.contains(name)
}

/// Fields that mean something else after a body than before it (RFC 9110 §6.5.1), or that a careless reader would merge
/// into a head that was judged without them.
const NO_TRAILERS: [HeaderName; 18] = [
    header::AUTHORIZATION,
    header::CACHE_CONTROL,
    header::CONNECTION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::EXPECT,
    HeaderName::from_static("forwarded"),
    header::HOST,
    header::ORIGIN,
    header::SET_COOKIE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::WWW_AUTHENTICATE,
];

/// A frame of a body whose trailers, if it carries them, hold nothing that belongs into a head.
#[must_use]
pub fn without_unsafe_trailers(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            retain(&mut trailers, |name, _| !NO_TRAILERS.contains(name) && !name.as_str().starts_with("x-forwarded-"));
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

/// What every `Connection` line names.
pub fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all(header::CONNECTION).iter().flat_map(list)
}

/// The members of a comma-separated field.
pub fn list(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// The field's first value, as bytes.
#[must_use]
pub fn first<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    headers.get(name).map(HeaderValue::as_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn t2_hop_by_hop_fields_of_every_connection_line_go_and_the_rest_keeps_its_order() {
        let mut headers = map(&[
            ("a", "1"),
            ("connection", "close, x-one"),
            ("b", "2"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("connection", "X-Two"),
            ("c", "3"),
            ("keep-alive", "5"),
            ("te", "gzip, trailers"),
            ("trailer", "d"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("d", "4"),
        ]);
        remove_hop_by_hop(&mut headers, |_| true);
        let left: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        assert_eq!(left, ["a: 1", "b: 2", "c: 3", "te: trailers", "trailer: d", "d: 4"]);
    }

    #[test]
    fn t1_trailers_carry_nothing_that_belongs_into_a_head() {
        let trailers =
            map(&[("grpc-status", "0"), ("cookie", "a=b"), ("content-length", "5"), ("x-forwarded-for", "x"), ("x-checksum", "1")]);
        let left = without_unsafe_trailers(Frame::trailers(trailers)).into_trailers().unwrap();
        assert_eq!(left, map(&[("grpc-status", "0"), ("x-checksum", "1")]));
        let data = without_unsafe_trailers(Frame::data(Bytes::from_static(b"x"))).into_data().unwrap();
        assert_eq!(data, "x");
    }

    #[test]
    fn t2_every_hop_by_hop_field_is_known_as_one() {
        assert!(HOP_BY_HOP.iter().all(is_hop_by_hop));
        assert!(!is_hop_by_hop(&header::CONTENT_TYPE) && !is_hop_by_hop(&header::USER_AGENT) && !is_hop_by_hop(&header::COOKIE));
    }

    #[test]
    fn t2_te_without_trailers_goes() {
        let mut headers = map(&[("te", "gzip"), ("a", "1")]);
        remove_hop_by_hop(&mut headers, |_| true);
        assert!(!headers.contains_key("te"));
    }
}
