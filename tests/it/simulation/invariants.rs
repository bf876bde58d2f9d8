//! The invariants, one function each. Each counts how often it had something to say.

use super::backend::{Known, Ledger, Made};
use super::browser::Browser;
use super::ends::Ends;
use super::gaps;
use super::plan::{Millis, SECOND, SKEW, Setting, millis};
use super::replica::Process;
use slidecar::session::decide::{Due, Verdict};
use slidecar::session::outcome::{Kept, Outcome, Renewed};
use slidecar::session::policy::Class;
use slidecar::session::settle::Settlement;
use slidecar::session::token::IatMode;
use slidecar::session::{Persistence, policy};
use std::collections::BTreeMap;

pub const ACTIVE: &str = "an_active_user_is_never_logged_out_before_the_absolute_timeout";
pub const IDLE_OUT: &str = "nobody_idle_longer_than_ttl_stays_in";
pub const IDLE_IN: &str = "nobody_idle_less_than_r_is_out";
pub const COOKIE: &str = "no_cookie_outlives_its_token";
pub const CAP: &str = "nothing_lives_beyond_origin_plus_a";
pub const LOGGED_OUT: &str = "a_logged_out_family_is_never_accepted_again";
pub const OTHERS: &str = "one_users_answer_never_replaces_anothers_login";
pub const POLICY: &str = "the_published_policy_is_the_enforced_one";
pub const BYTES: &str = "a_renewal_changes_no_byte_but_exp";
pub const ONE_COOKIE: &str = "a_browser_never_holds_two_session_cookies";

pub const ALL: [&str; 10] = [ACTIVE, IDLE_OUT, IDLE_IN, COOKIE, CAP, LOGGED_OUT, OTHERS, POLICY, BYTES, ONE_COOKIE];

/// An invariant that did not hold.
#[derive(Clone, Debug)]
pub struct Violation {
    pub invariant: &'static str,
    pub detail: String,
}

pub type Held = Result<(), Violation>;

/// How often each invariant was put to the test, and what else happened.
#[derive(Clone, Debug, Default)]
pub struct Tally(pub BTreeMap<&'static str, u64>);

impl Tally {
    pub fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    pub fn add(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }
}

fn held(invariant: &'static str, holds: bool, detail: impl FnOnce() -> String) -> Held {
    if holds { Ok(()) } else { Err(Violation { invariant, detail: detail() }) }
}

/// A request, as it comes in.
pub struct Arrival<'a> {
    pub setting: &'a Setting,
    pub ledger: &'a Ledger,
    pub process: &'a Process,
    pub browser: &'a Browser,
    pub ends: &'a Ends,
    pub now: Millis,
    /// The session cookie that came.
    pub carried: Option<&'a Known>,
    /// The session that slidecar took the request for.
    pub served: Option<&'a Known>,
    /// The backend took it for somebody's.
    pub accepted: bool,
}

pub fn on_arrival(arrival: &Arrival<'_>, tally: &mut Tally) -> Held {
    an_active_user_is_never_logged_out(arrival, tally)?;
    nobody_idle_less_than_r_is_out(arrival, tally)?;
    nobody_idle_longer_than_ttl_stays_in(arrival, tally)?;
    nothing_is_served_beyond_origin_plus_a(arrival, tally)?;
    // Another's session is mostly one that ended as well, and says more.
    one_users_answer_never_replaces_anothers_login(arrival, tally)?;
    a_logged_out_family_is_never_accepted_again(arrival, tally)
}

impl Arrival<'_> {
    fn is_in(&self, session: usize) -> bool {
        self.served.is_some_and(|served| served.session == session) && self.accepted
    }

    /// Whether no tombstone can name this family, for a reason that the documents give or a gap that is listed.
    fn is_unnamed(&self, known: &Known) -> bool {
        let two_places = gaps::TWO_TOMBSTONE_PLACES && self.browser.values("session_x").count() > 1;
        let is_over = gaps::SHORT_TOMBSTONE
            && self.browser.forgotten(known.session).is_some_and(|when| self.now >= when + self.setting.shortest_tombstone());
        two_places || is_over || self.browser.unnamed.contains(&known.session)
    }

    fn state(&self) -> String {
        format!(
            "process {}, promise {:?}, carried {:?}, served {:?}, accepted {}, ended {:?}",
            self.process.id, self.browser.promise, self.carried, self.served, self.accepted, self.browser.ended
        )
    }
}

/// Older than any single token: without renewals this session would be over.
fn an_active_user_is_never_logged_out(arrival: &Arrival<'_>, tally: &mut Tally) -> Held {
    let Some(promise) = arrival.browser.promise.filter(|promise| arrival.now <= promise.until) else { return Ok(()) };
    let session = &arrival.ledger.sessions[promise.session];
    if arrival.now - session.begun <= arrival.setting.longest_ttl(class(session.demo)) {
        return Ok(());
    }
    tally.count(ACTIVE);
    held(ACTIVE, arrival.is_in(promise.session), || arrival.state())
}

/// Silence first: this browser sent nothing at all for a good part of R.
fn nobody_idle_less_than_r_is_out(arrival: &Arrival<'_>, tally: &mut Tally) -> Held {
    let Some(promise) = arrival.browser.promise.filter(|promise| arrival.now <= promise.until) else { return Ok(()) };
    let threshold = arrival.setting.threshold(class(arrival.ledger.sessions[promise.session].demo));
    if arrival.now - arrival.browser.last_sent > threshold / 2 {
        tally.count(IDLE_IN);
    }
    held(IDLE_IN, arrival.is_in(promise.session), || arrival.state())
}

fn nobody_idle_longer_than_ttl_stays_in(arrival: &Arrival<'_>, tally: &mut Tally) -> Held {
    let Some(carried) = arrival.carried else { return Ok(()) };
    let session = &arrival.ledger.sessions[carried.session];
    let end = session.active + arrival.setting.longest_ttl(class(session.demo)) + 2 * SKEW;
    if arrival.now < end {
        return Ok(());
    }
    tally.count(IDLE_OUT);
    held(IDLE_OUT, arrival.served.is_none_or(|served| served.session != carried.session), || {
        format!("active until {}, {}", session.active, arrival.state())
    })
}

fn nothing_is_served_beyond_origin_plus_a(arrival: &Arrival<'_>, tally: &mut Tally) -> Held {
    let Some(carried) = arrival.carried.filter(|carried| is_beyond(arrival.ledger, arrival.process, carried, arrival.now)) else {
        return Ok(());
    };
    tally.count(CAP);
    held(CAP, arrival.served.is_none_or(|served| served.mint != carried.mint), || arrival.state())
}

fn is_beyond(ledger: &Ledger, process: &Process, known: &Known, now: Millis) -> bool {
    let cap = ledger.mints[known.mint].origin.zip(process.rules.policy.absolute());
    cap.is_some_and(|(origin, absolute)| process.clock(now).get() >= origin * SECOND + millis(absolute))
}

fn a_logged_out_family_is_never_accepted_again(arrival: &Arrival<'_>, tally: &mut Tally) -> Held {
    let is_over = |known: &Known| {
        let is_forgotten = arrival.browser.forgotten(known.session).is_some() && !arrival.is_unnamed(known);
        is_forgotten || arrival.ends.hold(known.session, arrival.process, arrival.now)
    };
    if arrival.carried.is_some_and(is_over) {
        tally.count(LOGGED_OUT);
    }
    held(LOGGED_OUT, !arrival.served.is_some_and(is_over), || arrival.state())
}

fn one_users_answer_never_replaces_anothers_login(arrival: &Arrival<'_>, tally: &mut Tally) -> Held {
    let Some(person) = &arrival.browser.person else { return Ok(()) };
    let is_anothers = |known: &Known| arrival.ledger.sessions[known.session].subject.as_ref() != Some(person);
    if arrival.carried.is_some_and(|known| arrival.is_unnamed(known)) {
        return Ok(());
    }
    if arrival.carried.is_some_and(is_anothers) {
        tally.count(OTHERS);
    }
    held(OTHERS, !arrival.served.is_some_and(is_anothers), || format!("{person} is logged in, {}", arrival.state()))
}

/// A copy of a cookie, as somebody presents it to a process.
pub struct Replay<'a> {
    pub ledger: &'a Ledger,
    pub process: &'a Process,
    pub ends: &'a Ends,
    pub now: Millis,
    pub known: &'a Known,
    pub is_served: bool,
}

/// To one that saw its session end, or after origin + A.
pub fn a_replay_is_not_accepted(replay: &Replay<'_>, tally: &mut Tally) -> Held {
    let Replay { known, process, now, .. } = *replay;
    let what = || format!("a replay of session {} at process {}", known.session, process.id);
    if replay.ends.hold(known.session, process, now) {
        tally.count("replays after a logout");
        held(LOGGED_OUT, !replay.is_served, what)?;
    }
    if is_beyond(replay.ledger, process, known, now) {
        tally.count("replays beyond origin + A");
        held(CAP, !replay.is_served, what)?;
    }
    Ok(())
}

pub fn a_browser_never_holds_two_session_cookies(browser: &Browser, tally: &mut Tally) -> Held {
    let held_cookies: Vec<_> = browser.values(super::backend::COOKIE).collect();
    if !held_cookies.is_empty() {
        tally.count(ONE_COOKIE);
    }
    held(ONE_COOKIE, held_cookies.len() <= 1, || format!("{held_cookies:#?}"))
}

/// An answer, as it goes out.
pub struct Departure<'a> {
    pub setting: &'a Setting,
    pub ledger: &'a mut Ledger,
    pub process: &'a Process,
    pub verdict: &'a Verdict,
    pub settlement: &'a Settlement,
    pub decided: Millis,
    pub now: Millis,
    pub served: Option<&'a Known>,
    /// The token that took the place of C on its way to the backend.
    pub handed_off: Option<&'a str>,
    pub made: Option<Made>,
    pub backend_lines: &'a [String],
    /// What leaves.
    pub lines: &'a [String],
}

pub fn on_departure(departure: &mut Departure<'_>, tally: &mut Tally) -> Held {
    let lines = departure.lines;
    for (index, line) in lines.iter().enumerate() {
        match line.strip_prefix("session=").map(|rest| rest.split(';').next().unwrap_or_default()) {
            None if line.starts_with("session_") => {}
            None => held(BYTES, departure.backend_lines.get(index) == Some(line), || format!("another cookie changed: {line}"))?,
            Some("") => {}
            Some(value) => on_cookie(departure, line, value, tally)?,
        }
    }
    if let Some(text) = departure.handed_off {
        a_renewal_changes_no_byte_but_exp(departure, text, tally)?;
    }
    the_published_policy_is_the_enforced_one(departure, tally)
}

fn on_cookie(departure: &mut Departure<'_>, line: &str, value: &str, tally: &mut Tally) -> Held {
    let is_the_backends = departure.backend_lines.iter().any(|own| own.starts_with(&format!("session={value};")));
    if !is_the_backends {
        a_renewal_changes_no_byte_but_exp(departure, value, tally)?;
        no_token_is_made_beyond_origin_plus_a(departure, value, tally)?;
    }
    no_cookie_outlives_its_token(departure, line, value, tally)
}

fn a_renewal_changes_no_byte_but_exp(departure: &mut Departure<'_>, text: &str, tally: &mut Tally) -> Held {
    tally.count(BYTES);
    let Some(known) = departure.ledger.know(text).cloned() else {
        return held(BYTES, false, || format!("no token of the backend's: {text}"));
    };
    let expected = departure.ledger.bytes(departure.setting, &known);
    held(BYTES, text.starts_with(&format!("{expected}.")), || format!("{text} should begin with {expected}"))?;
    held(BYTES, known.key == departure.process.key, || format!("signed with key {}", known.key))?;
    let before = departure.ledger.made_as(&known);
    let (iat, orig_iat) = match departure.setting.iat {
        IatMode::Keep => (before.iat, None),
        IatMode::Bump => (before.iat.map(|_| known.claims.iat.unwrap_or_default()), before.iat.filter(|_| before.auth_time.is_none())),
    };
    held(BYTES, (known.claims.iat, known.claims.orig_iat) == (iat, orig_iat), || format!("{:?} from {before:?}", known.claims))?;
    let moments = [departure.decided, departure.now].map(|moment| Some(departure.process.clock(moment).second().get()));
    let bumped = iat.is_none() || departure.setting.iat == IatMode::Keep || moments.contains(&iat);
    held(BYTES, bumped, || format!("iat {iat:?}, made at {moments:?}"))
}

fn no_token_is_made_beyond_origin_plus_a(departure: &mut Departure<'_>, text: &str, tally: &mut Tally) -> Held {
    let (Some(absolute), Some(known)) = (departure.process.rules.policy.absolute(), departure.ledger.know(text).cloned()) else {
        return Ok(());
    };
    let Some(origin) = departure.ledger.mints[known.mint].origin else {
        return held(CAP, false, || "a renewal without an origin under a cap".to_owned());
    };
    let cap = origin + millis(absolute) / SECOND;
    if known.claims.exp == cap {
        tally.count("tokens that end at origin + A");
    }
    held(CAP, known.claims.exp <= cap, || format!("exp {} beyond {cap}", known.claims.exp))
}

fn no_cookie_outlives_its_token(departure: &mut Departure<'_>, line: &str, value: &str, tally: &mut Tally) -> Held {
    let Some(known) = departure.ledger.know(value).cloned() else { return Ok(()) };
    let cap = departure.ledger.mints[known.mint]
        .origin
        .zip(departure.process.rules.policy.absolute())
        .map(|(origin, a)| origin + millis(a) / SECOND);
    let end = known.claims.exp.min(cap.unwrap_or(i64::MAX)) * SECOND;
    let clock = departure.process.clock(departure.now).get();
    if end <= clock {
        // The backend sent a token that is over; its line is none of ours (SPEC K4).
        return Ok(());
    }
    tally.count(COOKIE);
    let ages: Vec<i64> = line.split(';').filter_map(|part| part.trim().strip_prefix("Max-Age=")?.parse().ok()).collect();
    let Some(age) = ages.last() else {
        let may_end_with_the_browser = !departure.setting.lasting && departure.setting.persistence == Persistence::Follow;
        return held(COOKIE, may_end_with_the_browser, || format!("no lifetime: {line}"));
    };
    let surplus = clock + age * SECOND - end;
    held(COOKIE, ages.len() == 1 && (-SECOND..=SECOND).contains(&surplus), || format!("{surplus} ms longer than its token: {line}"))
}

fn the_published_policy_is_the_enforced_one(departure: &mut Departure<'_>, tally: &mut Tally) -> Held {
    let Some(live) = &departure.verdict.session else { return Ok(()) };
    let Some(served) = departure.served else { return Ok(()) };
    let rules = &departure.process.rules;
    let demo = served.claims.role.as_deref() == Some("demo");
    let published = published(&rules.policy, class(demo));
    let clock = departure.process.clock(departure.now);
    let cap =
        departure.ledger.mints[served.mint].origin.zip(rules.policy.absolute()).map_or(i64::MAX, |(origin, a)| origin + millis(a) / SECOND);
    let remaining = served.claims.exp.min(cap) * SECOND - departure.process.clock(departure.decided).get();
    let renewed_to = departure.lines.iter().find_map(|line| line.strip_prefix("session=")?.split(';').next().map(str::to_owned));
    match departure.settlement.outcome {
        Outcome::Renewed(why) => {
            tally.count(POLICY);
            let exp = renewed_to.and_then(|text| departure.ledger.know(&text).map(|known| known.claims.exp)).unwrap_or_default();
            let full = clock.second().get() + published.ttl / SECOND;
            let is_due = remaining < published.threshold;
            held(POLICY, why != Renewed::Threshold || is_due, || format!("renewed with {remaining} ms left, R is {published:?}"))?;
            // Never earlier than what the person had, except to shorten what outlived the policy.
            let had = if why == Renewed::Clamp { 0 } else { served.claims.exp.min(cap) };
            held(POLICY, exp == full.min(cap).max(had), || {
                format!("renewed to {exp}, at {} under {published:?}, cap {cap}", clock.second().get())
            })
        }
        Outcome::Kept(Kept::NotDue) if live.due != Due::Passive => {
            tally.count(POLICY);
            held(POLICY, remaining >= published.threshold, || format!("not renewed with {remaining} ms left, R is {published:?}"))
        }
        _ => Ok(()),
    }?;
    let told = departure.settlement.clock.map_or(0, |clock| millis(clock.remaining));
    // What was not yet clamped, or came with an answer of the backend's own, is told as it is.
    let may_be_longer = live.due != Due::No || departure.made.is_some();
    held(POLICY, may_be_longer || told <= published.ttl + 61 * SECOND, || format!("told {told} ms under {published:?}"))?;
    held(POLICY, published.session == published.ttl + millis(rules.policy.buffer()), || format!("{published:?}"))
}

/// The numbers of the endpoint, read back from their JSON as a browser would.
#[derive(Clone, Copy, Debug)]
struct Published {
    ttl: Millis,
    threshold: Millis,
    session: Millis,
}

fn published(policy: &policy::SessionPolicy, class: Class) -> Published {
    let json = policy.public(class);
    let number = |value: u64| i64::try_from(value).expect("a span of a policy");
    Published {
        ttl: number(json.access_token_ttl_ms),
        threshold: number(json.refresh_threshold_ms),
        session: number(json.session_timeout_ms),
    }
}

pub const fn class(demo: bool) -> Class {
    if demo { Class::Demo } else { Class::Standard }
}
