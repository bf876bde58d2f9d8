//! Spellings of a token that a lenient backend reads as one: quoted, padded, escaped once or several times (rule Q3).

use std::borrow::Cow;

/// Escapes of escapes that are looked through; a backend that undoes more of them has not been seen.
const MOST_VEILS: usize = 4;

/// Looks through quotes, padding, blanks, the escapes of URLs and of quoted strings, and the other base64 alphabet.
pub fn undisguised(value: &[u8]) -> Cow<'_, [u8]> {
    let veiled = |byte: &u8| matches!(byte, b'"' | b'=' | b' ' | b'\t' | b'%' | b'\\' | b'+' | b'/');
    let mut plain = Cow::Borrowed(value);
    // One look more, for what the last escape hid.
    for _ in 0..=MOST_VEILS {
        if !plain.iter().any(veiled) {
            break;
        }
        plain = Cow::Owned(unveiled(&plain));
    }
    plain
}

fn unveiled(value: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = match byte {
            b'%' => after.split_at_checked(2).and_then(|(digits, after)| Some((hex_byte(digits)?, after))),
            // Python undoes both kinds in a cookie's quoted value.
            b'\\' => after
                .split_at_checked(3)
                .and_then(|(digits, after)| Some((octal_byte(digits)?, after)))
                .or_else(|| after.split_first().map(|(&byte, after)| (byte, after))),
            _ => None,
        };
        let (shown, left) = escaped.unwrap_or((byte, after));
        rest = left;
        match shown {
            // One that was escaped may belong to a further escape, which must not be left alone at the end.
            b'"' | b'=' | b' ' | b'\t' if escaped.is_none() => {}
            b'+' => plain.push(b'-'),
            b'/' => plain.push(b'_'),
            other => plain.push(other),
        }
    }
    plain
}

fn octal_byte(digits: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| matches!(byte, b'0'..=b'7')))?;
    u8::from_str_radix(text, 8).ok()
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u8::from_str_radix(text, 16).ok()
}
