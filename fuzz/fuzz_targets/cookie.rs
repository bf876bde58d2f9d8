//! A cookie string, edited. The first two bytes choose which pairs are removed and replaced.
#![no_main]

use http::HeaderValue;
use libfuzzer_sys::fuzz_target;
use slidecar::session::cookie::{Cookies, Edit, join};
use slidecar_fuzz::{blanked, parts, shown};

fuzz_target!(|data: &[u8]| {
    let [chosen, edited, text @ ..] = data else { return };
    let cookies = Cookies::parse(text);
    assert_eq!(cookies.edited(&[]), text, "no edit, same bytes");

    let names: Vec<&[u8]> = parts(text).filter_map(|(name, _)| name).collect();
    for name in &names {
        let found: Vec<_> = cookies.named(name).collect();
        let values: Vec<_> = parts(text).filter(|(own, _)| own.as_ref() == Some(name)).map(|(_, part)| value(part)).collect();
        assert_eq!(found.iter().map(|(_, value)| *value).collect::<Vec<_>>(), values);
        assert!(found.iter().all(|(place, _)| names[*place] == *name));
    }
    if let Some(name) = names.get(usize::from(*chosen) % names.len().max(1)) {
        let edits: Vec<_> = cookies.named(name).map(|(place, _)| (place, Edit::Remove)).collect();
        let left = cookies.edited(&edits);
        let kept: Vec<&[u8]> = parts(text).filter(|(own, _)| own.as_ref() != Some(name)).map(|(_, part)| part).collect();
        same_parts(text, &left, &kept);
    }

    // Every pair by its own lot: kept, removed or replaced.
    let lot = |place: usize| edited.rotate_left(u32::try_from(place * 2 % 8).unwrap()) & 3;
    let edits: Vec<_> = (0..names.len())
        .filter_map(|place| match lot(place) {
            1 => Some((place, Edit::Remove)),
            2 => Some((place, Edit::Replace(b"new".to_vec()))),
            _ => None,
        })
        .collect();
    let backwards: Vec<_> = edits.iter().rev().cloned().collect();
    let after = cookies.edited(&edits);
    assert_eq!(after, cookies.edited(&backwards), "the order of edits is nobody's business");
    let mut place = 0;
    let mut expected: Vec<Vec<u8>> = Vec::new();
    for (name, part) in parts(text) {
        let lot = name.map_or(0, |_| lot(place));
        place += usize::from(name.is_some());
        match lot {
            1 => {}
            2 => {
                let equals = part.iter().position(|&byte| byte == b'=').unwrap() + 1;
                let blanks = part[equals..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
                let end = equals + blanks + value(part).len();
                expected.push([&part[..equals + blanks], b"new", &part[end..]].concat());
            }
            _ => expected.push(part.to_vec()),
        }
    }
    same_parts(text, &after, &expected.iter().map(Vec::as_slice).collect::<Vec<_>>());
    if HeaderValue::from_bytes(text).is_ok() {
        assert!(HeaderValue::from_bytes(&after).is_ok());
    }

    // HTTP/2 may split the string anywhere between two pairs: nothing is found twice or lost.
    let crumbs: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
    let joined = join(crumbs.iter().copied());
    let whole = Cookies::parse(&joined);
    for name in crumbs.iter().flat_map(|crumb| parts(crumb)).filter_map(|(name, _)| name) {
        let single: Vec<_> =
            crumbs.iter().flat_map(|crumb| Cookies::parse(crumb).named(name).map(|(_, value)| value).collect::<Vec<_>>()).collect();
        assert_eq!(whole.named(name).map(|(_, value)| value).collect::<Vec<_>>(), single);
    }
});

fn value(part: &[u8]) -> &[u8] {
    let equals = part.iter().position(|&byte| byte == b'=').unwrap();
    blanked(&part[equals + 1..])
}

/// The string holds just these parts; only the blanks before the first may have gone with a removed one.
fn same_parts(text: &[u8], left: &[u8], kept: &[&[u8]]) {
    let joined = kept.join(&b";"[..]);
    let blanks = joined.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    assert!(left == joined || left == &joined[blanks..], "{} -> {}", shown(text), shown(left));
}
