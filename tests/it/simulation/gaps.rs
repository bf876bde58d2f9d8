//! Cases that the rules do not hold yet, found here. `true` leaves the case out of the worlds; whoever closes a gap sets
//! it to `false`, and the worlds then prove it.

/// A login or a logout whose request carries a merely expired C leaves that family without a tombstone, although a
/// renewal of it may still be under way, which then takes the place of the new login.
pub const EXPIRED_FAMILY: bool = false;

/// A backend that makes another family on re-issue (a new `jti`, or `iat` alone): what else was under way is then another
/// family's answer and leaves the person with a tombstoned C, and a re-issue under way during a logout or a switch is of a
/// family that nobody named.
pub const RENAMING_REISSUE: bool = true;

/// A family that logs in again under the same name (a `sid` of the person's, not of the session's): processes that saw
/// the logout go on treating it as ended, even when every token of that time is long over.
pub const SAME_NAME: bool = true;

/// A login outside the path of C does not carry the tombstones, so that a login under the same name counts as late.
pub const NARROW_PATH: bool = false;

/// A backend that sends C again on a slow answer, while the token that it got expires: taken for a logout of the whole
/// family, although another answer has renewed it.
pub const RESENT_EXPIRED: bool = false;

/// A session whose attributes are not known (its companion is gone, the process is new) gets its tombstones at another
/// path than an earlier one did. The browser then sends two lists, the stale one last, and reading that one pushes the
/// fresh entries of the other out of the four.
pub const TWO_TOMBSTONE_PLACES: bool = false;

/// A tombstone that lives for TTL + 10 min even where the token that it names lives longer: one from before slidecar, or
/// from before a shorter TTL came into force. After that a C that a late answer brought back is a session again.
pub const SHORT_TOMBSTONE: bool = false;
