//! A token that no backend should get, wrapped as some backends unwrap it: it must never pass as something foreign.
//! The first byte says whose key signed it, the second how many wrappers follow, then one byte for each; the rest is the payload.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slidecar::session::token::{NotOurs, Reading, read};
use slidecar_fuzz::{FOREIGN_SECRET, HEADER, SECRET, at, rules, shown, sign};

fuzz_target!(|data: &[u8]| {
    let [whose, count, rest @ ..] = data else { return };
    let count = usize::from(*count) % 4;
    let Some((wrappers, payload)) = rest.split_at_checked(count) else { return };
    let header = if whose & 2 == 0 { HEADER } else { r#"{"alg":"none"}"# };
    let plain = sign(if whose & 1 == 0 { SECRET } else { FOREIGN_SECRET }, header.as_bytes(), payload);
    let mut value = plain.clone();
    for (index, wrapper) in wrappers.iter().enumerate() {
        // Escapes of some bytes only that lie over others have no one reading: outer wrappers take all.
        value = wrapped(&value, if index == 0 { *wrapper } else { wrapper & 7 });
    }
    let rules = rules(0);
    if value.len() + rules.cookie.name.len() + 1 > 4096 {
        return;
    }
    match read(rules, &value, at(0)) {
        Reading::Session(_) => assert!(value == plain && whose & 3 == 0, "{}", shown(&value)),
        Reading::NotOurs(NotOurs::NoJwt) => panic!("passes as foreign: {}", shown(&value)),
        Reading::NotOurs(_) => assert!(value == plain && whose & 3 == 0, "{}", shown(&value)),
        Reading::Dead(_) => {}
    }
});

/// The low three bits say how, the others where.
fn wrapped(value: &[u8], wrapper: u8) -> Vec<u8> {
    let place = usize::from(wrapper >> 3);
    let each = |escape: &dyn Fn(u8) -> String| -> Vec<u8> {
        let picked = |index: usize, byte: u8| place == 0 || index % place == 0 || matches!(byte, b'%' | b'\\');
        let bytes = value.iter().enumerate();
        bytes.flat_map(|(index, &byte)| if picked(index, byte) { escape(byte).into_bytes() } else { vec![byte] }).collect()
    };
    match wrapper & 7 {
        0 => [b"\"", value, b"\""].concat(),
        1 => each(&|byte| format!("%{byte:02x}")),
        2 => each(&|byte| format!("\\{byte:03o}")),
        // Python drops the backslash before anything else; a digit would begin an octal escape.
        3 => each(&|byte| if byte.is_ascii_digit() { char::from(byte).to_string() } else { format!("\\{}", char::from(byte)) }),
        4 => value
            .iter()
            .map(|byte| {
                if *byte == b'-' {
                    b'+'
                } else if *byte == b'_' {
                    b'/'
                } else {
                    *byte
                }
            })
            .collect(),
        5 => [value, &b"==="[..place % 4]].concat(),
        6 => {
            // Padding of each part, as the base64 of RFC 4648 §4 has it.
            let padded: Vec<Vec<u8>> =
                value.split(|&byte| byte == b'.').map(|part| [part, &b"==="[..(4 - part.len() % 4) % 4]].concat()).collect();
            padded.join(&b"."[..])
        }
        _ => each(&|byte| format!("%{byte:02X}")),
    }
}
