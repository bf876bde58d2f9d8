//! WebSocket frames that arrive in pieces. The first byte is the length of a piece, the rest is what the peer sends.
#![no_main]

use libfuzzer_sys::fuzz_target;

// Private to the proxy, and without needs of its own: the file itself is taken in.
#[path = "../../src/proxy/websocket.rs"]
#[allow(dead_code)]
mod websocket;

use websocket::{Frames, close_frame};

fuzz_target!(|data: &[u8]| {
    let Some((piece, bytes)) = data.split_first() else { return };
    let ends = ends(bytes);
    let closed = ends.iter().any(|(_, is_close)| *is_close);
    for size in [bytes.len(), usize::from(*piece), 1] {
        let mut frames = Frames::default();
        let mut at = 0;
        let mut found = Vec::new();
        for piece in bytes.chunks(size.max(1)) {
            let mut rest = piece;
            while !rest.is_empty() {
                let taken = frames.take(rest);
                assert!(0 < taken && taken <= rest.len(), "no step forward");
                rest = &rest[taken..];
                at += taken;
                if frames.is_between() {
                    found.push(at);
                }
            }
        }
        assert_eq!(found, ends.iter().map(|(end, _)| *end).collect::<Vec<_>>());
        assert!(frames.is_closed() || !closed);
        let last = found.last().copied().unwrap_or(0);
        assert_eq!(frames.is_between(), last == bytes.len());
    }
    let mut frames = Frames::default();
    let frame = close_frame(u16::from_be_bytes([*piece, *piece]), piece & 1 == 0);
    assert!(frames.take(&frame) == frame.len() && frames.is_between() && frames.is_closed());
});

/// Where each whole frame ends and whether it says goodbye, straight from RFC 6455 §5.2.
fn ends(bytes: &[u8]) -> Vec<(usize, bool)> {
    let mut ends = Vec::new();
    let mut at = 0_u128;
    loop {
        let byte = |place: u128| usize::try_from(place).ok().and_then(|place| bytes.get(place)).copied().map(u128::from);
        let number = |from: u128, count: u128| (from..from + count).try_fold(0_u128, |sum, place| Some(sum << 8 | byte(place)?));
        let end = (|| {
            let (first, second) = (byte(at)?, byte(at + 1)?);
            let (extra, length) = match second & 0x7f {
                126 => (2, number(at + 2, 2)?),
                127 => (8, number(at + 2, 8)?),
                short => (0, short),
            };
            let mask = if second & 0x80 == 0 { 0 } else { 4 };
            Some((at + 2 + extra + mask + length, first & 0x0f == 8))
        })();
        match end {
            Some((end, is_close)) if end <= bytes.len() as u128 => {
                ends.push((usize::try_from(end).unwrap(), is_close));
                at = end;
            }
            _ => return ends,
        }
    }
}
