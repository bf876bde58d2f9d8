//! The cookies that the browser carries for us. The first byte chooses the rules, the second names the family; then, in
//! lines: a companion's value, a request's path, a Set-Cookie line, and values of tombstones.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use http::uri::PathAndQuery;
use libfuzzer_sys::fuzz_target;
use slidecar::session::attributes::Attributes;
use slidecar::session::companion::{Companion, Tombstones};
use slidecar::session::family::Family;
use slidecar::session::set_cookie::SetCookie;
use slidecar_fuzz::{OLD_SECRET, SECRET, at, mac, rules, shown};

fuzz_target!(|data: &[u8]| {
    let [choice, id, text @ ..] = data else { return };
    let rules = rules(*choice);
    let family = Family::from_id([*id; 16]);
    let mut lines = text.split(|&byte| byte == b'\n');
    let mut next = || lines.next().unwrap_or_default();
    let (value, path, line) = (next(), next(), next());

    if let Some(companion) = Companion::decode(value, &family, &rules.keys, at(0)) {
        assert!(is_by_us(value, &family), "{}", shown(value));
        let again = companion.encode(&family, &rules.keys);
        assert_eq!(Companion::decode(&again, &family, &rules.keys, at(0)), Some(companion));
    }

    // What the backend set, on the path that it set it on.
    if let (Ok(path), Ok(_), Some(cookie)) = (PathAndQuery::try_from(path), HeaderValue::from_bytes(line), SetCookie::parse(line)) {
        let attributes = Attributes::of(&cookie, path.path().as_bytes());
        let companion = Companion { attributes, persistent: id & 1 == 0 };
        let value = companion.encode(&family, &rules.keys);
        assert!(value.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte)));
        if value.len() <= 1024 {
            let decoded = Companion::decode(&value, &family, &rules.keys, at(0));
            assert!(decoded.as_ref() == Some(&companion), "{}\n{companion:?}\n{decoded:?}", shown(line));
            let other = Family::from_id([id.wrapping_add(1); 16]);
            assert!(Companion::decode(&value, &other, &rules.keys, at(0)).is_none());
            let mut broken = value.clone();
            let place = text.len() % broken.len();
            broken[place] ^= 1 << (id % 7);
            assert!(broken == value || Companion::decode(&broken, &family, &rules.keys, at(0)).is_none());
        }
        for attributes in [&companion.attributes, &companion.attributes.for_companion(), &companion.attributes.for_tombstones()] {
            says_what_it_was_told(attributes, line);
        }
    }

    let read = Tombstones::read(lines);
    let encoded = read.encode();
    assert!(encoded.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte)) && encoded.len() < 100);
    assert_eq!(Tombstones::read(std::iter::once(encoded.as_slice())), read);
    let more = read.with(&family);
    assert!(more.contains(&family) && !more.without(&family).contains(&family) && !more.is_empty());
    assert_eq!(Tombstones::read(std::iter::once(more.encode().as_slice())), more);
});

/// No line of ours has an attribute that the backend's line had not, whatever the path.
fn says_what_it_was_told(attributes: &Attributes, line: &[u8]) {
    let own = attributes.line("session", b"x", None);
    assert!(HeaderValue::from_bytes(&own).is_ok(), "{}", shown(&own));
    let (own, told) = (SetCookie::parse(&own).unwrap(), SetCookie::parse(line).unwrap());
    for (name, value) in own.identity() {
        let is_ours = [&b"path"[..], b"httponly"].iter().any(|known| name.eq_ignore_ascii_case(known));
        assert!(is_ours || told.identity().any(|told| told == (name, value)), "{} of {}", shown(name), shown(line));
    }
    assert!(own.attribute("path").is_some_and(|path| path.starts_with(b"/")));
}

fn is_by_us(value: &[u8], family: &Family) -> bool {
    let text = std::str::from_utf8(value).unwrap();
    let (body, tag) = text.strip_prefix("1.").unwrap().split_once('.').unwrap();
    let message = [family.id().as_slice(), &URL_SAFE_NO_PAD.decode(body).unwrap()].concat();
    let tag = URL_SAFE_NO_PAD.decode(tag).unwrap();
    [SECRET, OLD_SECRET].iter().any(|secret| mac(&mac(secret, b"slidecar companion cookie v1"), &message)[..16] == tag)
}
