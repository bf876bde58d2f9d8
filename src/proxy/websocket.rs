//! Where WebSocket frames begin and end (RFC 6455 §5.2), so that a tunnel can be closed between two of them. The frames
//! themselves are nobody's business but the peers'.

/// A header has at most this many bytes: two, eight of length, four of mask.
const LONGEST_HEADER: usize = 14;
const CLOSE: u8 = 0x8;

/// One direction of a tunnel, byte by byte.
#[derive(Debug, Default)]
pub struct Frames {
    header: [u8; LONGEST_HEADER],
    /// Bytes of the header that are there.
    have: usize,
    /// Bytes of the payload that are still to come.
    left: u64,
    is_closed: bool,
}

impl Frames {
    /// Takes bytes up to the end of the frame that they belong to, and says how many that were.
    pub fn take(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while self.left == 0 {
            let Some(&byte) = bytes.get(taken) else { return taken };
            taken += 1;
            self.header[self.have] = byte;
            self.have += 1;
            if self.have >= 2 && self.have == self.header_length() {
                self.is_closed |= self.header[0] & 0x0f == CLOSE;
                self.left = self.payload_length();
                self.have = 0;
                if self.left == 0 {
                    return taken;
                }
            }
        }
        let rest = u64::try_from(bytes.len() - taken).unwrap_or(u64::MAX);
        let part = self.left.min(rest);
        self.left -= part;
        taken + usize::try_from(part).unwrap_or(usize::MAX)
    }

    /// Nothing of a frame is under way.
    pub const fn is_between(&self) -> bool {
        self.have == 0 && self.left == 0
    }

    /// A close frame has begun: the peer says goodbye itself.
    pub const fn is_closed(&self) -> bool {
        self.is_closed
    }

    fn header_length(&self) -> usize {
        let length = match self.header[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if self.header[1] & 0x80 == 0 { 0 } else { 4 };
        2 + length + mask
    }

    fn payload_length(&self) -> u64 {
        let extended = |bytes: &[u8]| bytes.iter().fold(0, |length: u64, &byte| length << 8 | u64::from(byte));
        match self.header[1] & 0x7f {
            126 => extended(&self.header[2..4]),
            127 => extended(&self.header[2..10]),
            short => u64::from(short),
        }
    }
}

/// A close frame with a status (RFC 6455 §7.4). What goes to a server is masked; a mask of zeros is one.
pub fn close_frame(code: u16, is_masked: bool) -> Vec<u8> {
    let [high, low] = code.to_be_bytes();
    if is_masked { vec![0x88, 0x82, 0, 0, 0, 0, high, low] } else { vec![0x88, 0x02, high, low] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(opcode: u8, length: usize, is_masked: bool) -> Vec<u8> {
        let mask = if is_masked { 0x80 } else { 0 };
        let mut bytes = vec![0x80 | opcode];
        match length {
            0..=125 => bytes.push(mask | u8::try_from(length).unwrap()),
            126..=65_535 => {
                bytes.push(mask | 126);
                bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                bytes.push(mask | 127);
                bytes.extend(u64::try_from(length).unwrap().to_be_bytes());
            }
        }
        if is_masked {
            bytes.extend([1, 2, 3, 4]);
        }
        bytes.resize(bytes.len() + length, 0xff);
        bytes
    }

    #[test]
    fn w2_a_close_frame_is_one() {
        for (is_masked, length) in [(false, 4), (true, 8)] {
            let mut frames = Frames::default();
            let close = close_frame(1008, is_masked);
            assert_eq!((frames.take(&close), close.len()), (length, length));
            assert!(frames.is_between() && frames.is_closed());
        }
    }

    proptest! {
        /// However the bytes are cut, the ends of frames are found where they are.
        #[test]
        fn w2_frames_end_where_they_end(
            shapes in prop::collection::vec((0_u8..3, prop_oneof![Just(0_usize), 1..200_usize, Just(65_536)], any::<bool>()), 1..5),
            cut in 1..3000_usize,
        ) {
            let mut ends = Vec::new();
            let mut all = Vec::new();
            for (opcode, length, is_masked) in shapes {
                all.extend(frame(opcode, length, is_masked));
                ends.push(all.len());
            }
            let mut frames = Frames::default();
            let (mut at, mut found) = (0, Vec::new());
            for piece in all.chunks(cut) {
                let mut taken = 0;
                while taken < piece.len() {
                    taken += frames.take(&piece[taken..]);
                    if frames.is_between() {
                        found.push(at + taken);
                    }
                }
                at += piece.len();
            }
            prop_assert_eq!(found, ends);
            prop_assert!(!frames.is_closed());
        }
    }
}
