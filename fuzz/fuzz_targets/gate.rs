//! Any request head before the strict gate. The first line is `METHOD target version`, the others are fields.
#![no_main]

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version, header};
use libfuzzer_sys::fuzz_target;
use slidecar::headers;

// The gate is private to the proxy. It needs `headers` only, so the file itself is taken in here.
#[path = "../../src/proxy/gate.rs"]
#[allow(dead_code)]
mod gate;

const LIMITS: gate::GateLimits = gate::GateLimits { max_fields: 20, max_target: 200 };

fuzz_target!(|data: &[u8]| {
    let mut lines = data.split(|&byte| byte == b'\n');
    let Some(request) = head(lines.next().unwrap_or_default()) else { return };
    let (mut head, ()) = request.into_parts();
    for line in lines {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(line[colon + 1..].trim_ascii())) {
            head.headers.append(name, value);
        }
    }
    let request = Request::from_parts(head, ());
    if gate::check(&LIMITS, &request).is_err() {
        return;
    }
    let fields = request.headers();
    let count = |name: HeaderName| fields.get_all(name).iter().count();
    assert!(
        request.uri().path().starts_with('/') && request.uri().path_and_query().is_none_or(|path| path.as_str().len() <= LIMITS.max_target)
    );
    assert!(fields.len() <= LIMITS.max_fields && !matches!(*request.method(), Method::CONNECT | Method::TRACE));
    let single = [header::HOST, header::CONTENT_LENGTH, header::AUTHORIZATION, header::CONTENT_TYPE];
    assert!(single.into_iter().all(|name| count(name) <= 1));
    // Lines that name no coding are hyper's to judge.
    let codings = fields.get_all(header::TRANSFER_ENCODING).iter().flat_map(headers::list);
    assert!(codings.map(|coding| coding.to_ascii_lowercase()).collect::<Vec<_>>().concat().len() <= b"chunked".len());
    match fields.get(header::HOST) {
        Some(host) => {
            assert!(host.as_bytes().iter().all(|byte| byte.is_ascii_graphic() && !b"@/\\?#".contains(byte)));
            let named = request.uri().authority().map(|authority| authority.as_str().as_bytes());
            assert!(named.is_none_or(|named| named.eq_ignore_ascii_case(host.as_bytes())));
        }
        None => assert!(request.version() != Version::HTTP_11),
    }
    nothing_that_counts_is_lost(fields);
});

/// What may pass must still be whole once the fields of its connection are gone.
fn nothing_that_counts_is_lost(fields: &HeaderMap) {
    let mut left = fields.clone();
    headers::remove_hop_by_hop(&mut left, |_| true);
    let counts = [
        "cookie",
        "host",
        "authorization",
        "content-length",
        "content-type",
        "origin",
        "accept",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-proto",
        "sec-fetch-site",
        "sec-fetch-mode",
        "session-passive",
        "purpose",
        "sec-purpose",
        "x-requested-with",
    ];
    for name in counts {
        assert!(left.get_all(name).iter().eq(fields.get_all(name)), "{name}");
    }
    assert!(!left.contains_key(header::CONNECTION) && !left.contains_key(header::TRANSFER_ENCODING) && !left.contains_key(header::UPGRADE));
    // Two walks over a map with many names cost the square of it: only a handful is compared.
    let named: Vec<&[u8]> = headers::connection_options(fields).collect();
    assert!(
        left.keys().all(|name| *name == header::TE || !named.iter().any(|option| option.eq_ignore_ascii_case(name.as_str().as_bytes())))
    );
    let order = |fields: &HeaderMap| fields.keys().filter(|name| left.contains_key(*name)).cloned().collect::<Vec<_>>();
    assert_eq!(order(fields), order(&left));
}

fn head(line: &[u8]) -> Option<Request<()>> {
    let mut words = line.split(|&byte| byte == b' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next().unwrap_or_default());
    let version = match version {
        b"1.0" => Version::HTTP_10,
        b"2" => Version::HTTP_2,
        _ => Version::HTTP_11,
    };
    Request::builder().method(method).uri(target).version(version).body(()).ok()
}
