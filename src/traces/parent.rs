//! `traceparent` (W3C Trace Context), read to the letter: the SDK's own reader takes ids of any length, and a plus before them.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// What there is of a `traceparent` in every version: `00-<32 digits>-<16 digits>-<2 digits>`.
const LENGTH: usize = 55;
/// Flags that mean something: sampled, and (level 2) that the trace's id is random. Others go on as zero.
const KNOWN_FLAGS: TraceFlags = TraceFlags::new(0b11);

/// The span that the request's sender says it comes from. `None` if it says none, or anything else than one that is well written.
pub fn read(headers: &HeaderMap) -> Option<SpanContext> {
    let mut said = headers.get_all(TRACEPARENT).iter();
    let (Some(only), None) = (said.next(), said.next()) else { return None };
    let (trace, span, flags) = parse(only.as_bytes())?;
    let context = SpanContext::new(trace, span, flags & KNOWN_FLAGS, true, state(headers));
    context.is_valid().then_some(context)
}

/// The field's value that names this span.
pub fn write(span: &SpanContext, flags: TraceFlags) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), flags.to_u8())).ok()
}

fn parse(value: &[u8]) -> Option<(TraceId, SpanId, TraceFlags)> {
    let (known, rest) = value.split_at_checked(LENGTH)?;
    let version = number(known.get(..2)?)?;
    // A later version may say more after it.
    let is_whole = rest.is_empty() || (version != 0 && rest.starts_with(b"-"));
    let is_divided = [2, 35, 52].iter().all(|&place| known.get(place) == Some(&b'-'));
    if !is_whole || !is_divided || version == 0xff {
        return None;
    }
    let trace = TraceId::from(number(known.get(3..35)?)?);
    let span = SpanId::from(u64::try_from(number(known.get(36..52)?)?).ok()?);
    let flags = TraceFlags::new(u8::try_from(number(known.get(53..)?)?).ok()?);
    Some((trace, span, flags))
}

/// For the span; the field itself goes on as it came.
fn state(headers: &HeaderMap) -> TraceState {
    let lines: Vec<_> = headers.get_all(TRACESTATE).iter().filter_map(|line| line.to_str().ok()).collect();
    if lines.is_empty() { TraceState::NONE } else { lines.join(",").parse().unwrap_or(TraceState::NONE) }
}

/// Hexadecimal, in small letters.
fn number(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn of(lines: &[&str]) -> Option<SpanContext> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(TRACEPARENT, HeaderValue::from_str(line).unwrap());
        }
        read(&headers)
    }

    #[test]
    fn o3_a_traceparent_is_read_and_written() {
        let context = of(&[WELL]).unwrap();
        assert!(context.is_sampled() && context.is_remote());
        assert_eq!(write(&context, context.trace_flags()).unwrap(), WELL);
        let later = of(&["cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-fe-what.the.future.will.be"]).unwrap();
        assert_eq!(write(&later, later.trace_flags()).unwrap(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02");
    }

    /// The cases of the W3C's own test suite that are about one field.
    #[test]
    fn o3_a_traceparent_that_is_not_well_written_is_none() {
        let bad = [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-001",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "0-00af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-B7AD6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0X",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319cc-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01",
        ];
        for value in bad {
            assert_eq!(of(&[value]), None, "{value}");
        }
        assert_eq!(of(&[WELL, WELL]), None, "two parents are none");
    }
}
