//! Durations as people write them in settings: `Nd Nh Nm Ns Nms`, or a bare number of seconds. Nothing else.

use super::time::Span;

/// Why a text is no duration. The message tells what would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurationError {
    Form,
    TooLong,
}

impl std::fmt::Display for DurationError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Form => {
                "write one whole number and one unit of d, h, m, s or ms, without blanks, such as 2h or 90m (a bare number is seconds)"
            }
            Self::TooLong => "too long for a duration; write a smaller number",
        })
    }
}

impl std::error::Error for DurationError {}

/// Reads one duration; never panics, never rounds, never overflows.
pub fn parse(text: &str) -> Result<Span, DurationError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_millis: u64 = match unit {
        "ms" => 1,
        "s" | "" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(DurationError::Form),
    };
    if number.is_empty() {
        return Err(DurationError::Form);
    }
    // Only digits are left, so a failure can only be an overflow.
    let number: u64 = number.parse().map_err(|_| DurationError::TooLong)?;
    let millis = number.checked_mul(unit_millis).ok_or(DurationError::TooLong)?;
    // Everything that is later added to a clock has to fit in its i64 of milliseconds.
    if i64::try_from(millis).is_err() {
        return Err(DurationError::TooLong);
    }
    Ok(Span::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_forms_of_the_settings() {
        let good = [
            ("2h", 7_200_000),
            ("7d", 604_800_000),
            ("30m", 1_800_000),
            ("5s", 5000),
            ("500ms", 500),
            ("86400", 86_400_000),
            ("0", 0),
            ("007s", 7000),
        ];
        for (text, millis) in good {
            assert_eq!(parse(text), Ok(Span::from_millis(millis)), "{text}");
        }
        let bad = [
            "", " ", "h", "2H", "2 h", " 2h", "2h ", "-1h", "+1h", "1.5h", "1h30m", "1h 30m", "2hours", "2min", "1w", "1y", "ms", "0x10",
            "1_000", "1e3", "٢h", "2h\n", "NaN", "inf", "2µs", "2us", "2ns",
        ];
        for text in bad {
            assert_eq!(parse(text), Err(DurationError::Form), "{text:?}");
        }
        for text in ["18446744073709551616", "18446744073709551615s", "9223372036854775808ms", "307445734561825861m"] {
            assert_eq!(parse(text), Err(DurationError::TooLong), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in ".*") {
            let _ = parse(&text);
        }

        #[test]
        fn what_a_span_prints_parses_back(millis in 0..i64::MAX.unsigned_abs()) {
            let span = Span::from_millis(millis);
            prop_assert_eq!(parse(&span.to_string()), Ok(span));
        }
    }
}
