//! Cases that the rules do not hold yet, found here. `true` leaves the case out of the worlds; whoever closes a gap sets
//! it to `false`, and the worlds then prove it.

/// A login or a logout whose request carries a merely expired C leaves that family without a tombstone, although a
/// renewal of it may still be under way, which then takes the place of the new login.
pub const EXPIRED_FAMILY: bool = false;

/// A backend that makes another family on re-issue (a new `jti`, or `iat` alone). With `false`, 28 of the worlds fail, with
/// one replica as with three, for two reasons:
///
/// - A re-issue is to rule L2 what a login is: the family before it gets a tombstone. An answer that was renewed or sent
///   again before, and arrives after, puts that family back, and the person is out although nobody logged out. To leave
///   such a family without a tombstone where the subject is the same would keep the person in, but then a late answer
///   undoes a step-up or a change of tenant, which is what L2 is there for.
/// - A re-issue under way during a logout or a switch is of a family that nobody has named, and its list of tombstones,
///   made from its own request, takes the place of the newer one. The process that saw the family of the request end
///   could name the new one as well (the request came before the end, and the subject is the same); other processes
///   could not without a store, for the answer does not say whether it is a re-issue or a login.
///
/// What both need is a rule that tells a re-issue from a login.
pub const RENAMING_REISSUE: bool = true;

/// A family that logs in again under the same name (a `sid` of the person's, not of the session's): processes that saw
/// the logout go on treating it as ended for TTL + 10 min, even when every token of that time is long over. With `false`,
/// 50 of the worlds fail. Rule L1 ends the family, whatever its tokens say, and L3 takes only the tombstone that a
/// request carried as a sign of a new login. Two ways were tried:
///
/// - A token whose origin lies after the logout is not of the ended session. 9 of these worlds still fail, and 8 others
///   begin to, under `a_logged_out_family_is_never_accepted_again`: where a backend re-issues with a new `iat` and no
///   `auth_time`, an answer under way makes the ended session a newer one, and clocks that differ do the same soon after
///   a login. A thief need only be re-issued by a replica that has not heard yet. With `auth_time` alone it would be
///   sound, but few backends that reuse a `sid` state it.
/// - The login that L3 recognises gets a proof, authenticated like the companion and with its time, that other processes
///   accept against their memory of an older logout. No world spoke against it, but 25 still fail: after
///   `Clear-Site-Data`, or when the answer of the logout is lost, the login carries no tombstone and counts as late.
///   With another sign in L3 (a request that came to this process after the logout it remembers, and carried no session,
///   can be answered with that family only by a new login) 15 still fail: a login at a process that knows of no logout
///   gets no proof, one proof ends with its C, and a late answer of the time before brings back a C without it.
///
/// A proof with every login of a named session, and that sign in L3, would leave only the late answers; so would a store.
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
