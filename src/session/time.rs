//! Points in time and spans. Two `i64` seconds in a row invite a swapped argument, so each meaning has a type of its own.

/// A point in time: milliseconds since the Unix epoch, as a clock reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(i64);

/// A NumericDate (RFC 7519 §2): whole seconds since the Unix epoch, as a token states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixSeconds(i64);

/// A length of time in milliseconds; never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

impl UnixMillis {
    #[must_use]
    pub const fn new(millis: i64) -> Self {
        Self(millis)
    }

    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The second that this moment lies in.
    #[must_use]
    pub const fn second(self) -> UnixSeconds {
        UnixSeconds(self.0.div_euclid(1000))
    }

    /// How long from here until `end`; zero when `end` has come.
    #[must_use]
    pub const fn until(self, end: UnixSeconds) -> Span {
        let left = end.millis().0.saturating_sub(self.0);
        Span(if left > 0 { left.unsigned_abs() } else { 0 })
    }

    #[must_use]
    pub const fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add_unsigned(span.0))
    }

    #[must_use]
    pub const fn minus(self, span: Span) -> Self {
        Self(self.0.saturating_sub_unsigned(span.0))
    }
}

impl UnixSeconds {
    #[must_use]
    pub const fn new(seconds: i64) -> Self {
        Self(seconds)
    }

    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The first moment of this second.
    #[must_use]
    pub const fn millis(self) -> UnixMillis {
        UnixMillis(self.0.saturating_mul(1000))
    }

    /// This second plus a span, floored to a whole second, so that replicas agree.
    #[must_use]
    pub const fn plus(self, span: Span) -> Self {
        self.millis().plus(span).second()
    }

    /// `self − earlier`, zero if `earlier` is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Span {
        earlier.millis().until(self)
    }
}

impl Span {
    pub const ZERO: Self = Self(0);

    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Saturates at the largest span.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds, floored.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// This span divided by a constant above zero.
    #[must_use]
    pub const fn divided_by(self, by: u64) -> Self {
        match self.0.checked_div(by) {
            Some(millis) => Self(millis),
            None => Self::ZERO,
        }
    }

    /// `self · numerator / denominator`, floored; zero for a zero denominator.
    #[must_use]
    pub fn scaled(self, numerator: Self, denominator: Self) -> Self {
        let product = u128::from(self.0).saturating_mul(u128::from(numerator.0));
        let quotient = product.checked_div(u128::from(denominator.0)).unwrap_or(0);
        Self(u64::try_from(quotient).unwrap_or(u64::MAX))
    }

    #[must_use]
    pub const fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }
}

/// The shortest of the forms that the settings accept: `2h`, `90m`, `1500ms`.
impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
        let exact = units.iter().find(|(unit, _)| self.0 > 0 && self.0.is_multiple_of(*unit));
        match exact {
            Some((unit, name)) => write!(f, "{}{name}", self.0.checked_div(*unit).unwrap_or(0)),
            None => write!(f, "{}ms", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        assert_eq!(UnixSeconds::new(i64::MAX).plus(Span::from_secs(u64::MAX)).millis().get(), i64::MAX / 1000 * 1000);
        assert_eq!(UnixMillis::new(i64::MIN).until(UnixSeconds::new(i64::MAX)), Span::from_millis(i64::MAX.unsigned_abs()));
        assert_eq!(UnixMillis::new(5000).until(UnixSeconds::new(4)), Span::ZERO);
        assert_eq!(Span::from_millis(u64::MAX).scaled(Span::from_secs(9), Span::ZERO), Span::ZERO);
    }

    #[test]
    fn a_moment_before_the_epoch_lies_in_the_second_that_began_before_it() {
        assert_eq!(UnixMillis::new(-1).second(), UnixSeconds::new(-1));
        assert_eq!(UnixMillis::new(1999).second(), UnixSeconds::new(1));
    }

    #[test]
    fn spans_print_in_the_form_that_settings_accept() {
        let table = [(7_200_000, "2h"), (604_800_000, "7d"), (5_400_000, "90m"), (20_000, "20s"), (1500, "1500ms"), (0, "0ms")];
        for (millis, text) in table {
            assert_eq!(Span::from_millis(millis).to_string(), text);
        }
    }
}
