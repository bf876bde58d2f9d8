//! The way in (rules Q): what a request's cookie is, and with which cookies the request goes on.

use super::attributes::Attributes;
use super::companion::{Companion, Tombstones};
use super::cookie::{Cookies, Edit};
use super::effect::{Effect, TOMBSTONE_GRACE};
use super::keys::KeyRole;
use super::mint::{Minted, mint, renewed_exp};
use super::outcome::{Dead as DeadWord, Event, Foreign, Outcome, Refused, Renewed};
use super::paths::PathFacts;
use super::signs::{Method, Signs};
use super::time::{Span, UnixMillis, UnixSeconds};
use super::token::{Dead, NotOurs, Reading, SessionToken, read_known};
use super::{Ending, Rules, Surroundings};
use std::sync::Arc;

/// Signature checks per request; whoever sends more cookies of our name gets the rest removed unread.
const MOST_CANDIDATES: usize = 4;
/// A token with less life than this left is replaced on its way to the backend.
const HAND_OFF: Span = Span::from_secs(30);

/// What the shell found in a request's head.
#[derive(Clone, Copy, Debug)]
pub struct RequestFacts<'a> {
    /// All `cookie` fields, joined.
    pub cookies: &'a [u8],
    /// The raw path, without the query.
    pub path: &'a [u8],
    pub query: Option<&'a [u8]>,
    /// Whether the browser speaks https, as far as we are told.
    pub secure: bool,
    pub signs: Signs<'a>,
}

/// What the request is, and what happens to it.
#[derive(Debug)]
pub struct Verdict {
    pub forward: Forward,
    /// What is to be said about this request if its answer changes nothing.
    pub outcome: Outcome,
    pub session: Option<Live>,
    /// A session that came, but is over: answers to other requests of its time may still be under way.
    pub(super) over: Option<Arc<SessionToken>>,
    pub events: Vec<Event>,
    /// What is to be remembered, whatever the answer.
    pub effects: Vec<Effect>,
    pub path: PathFacts,
    /// When this was judged.
    pub(super) now: UnixMillis,
    pub(super) tombstones: Tombstones,
    /// Attributes of C where no session tells them.
    pub(super) expected: Attributes,
    /// What the settings say of C's attributes on this request.
    pub(super) configured: Attributes,
    pub(super) has_companion: bool,
}

/// How the request goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forward {
    /// With its cookie fields as they came.
    AsItCame,
    /// With this cookie string; with none if it is empty.
    Cookies(Vec<u8>),
    /// Not at all: 303 to this address.
    ToLogin(String),
    /// Not at all: 401.
    Unauthorized(Outcome),
    /// Not at all: 400, the path cannot be read.
    BadPath,
    /// Not at all: 503, for nobody knows whether the session was revoked.
    Unavailable,
}

/// A session that this request carries.
#[derive(Debug)]
pub struct Live {
    pub token: Arc<SessionToken>,
    pub due: Due,
    /// What went to the backend in place of C.
    pub(super) handed_off: Option<Minted>,
    pub(super) attributes: Attributes,
    pub(super) persistent: bool,
    /// The companion came with the request, so it is renewed with C.
    pub(super) from_companion: bool,
}

/// Whether this request's answer should renew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    Yes(Renewed),
    No,
    Passive,
    /// It would be, if the backend took renewed tokens.
    Paused,
    /// Two sessions of different families came together.
    Ambiguous,
}

impl Verdict {
    /// A `Set-Cookie` line that deletes C where the backend put it, as far as that is known.
    #[must_use]
    pub fn deletion(&self, name: &str) -> Vec<u8> {
        let attributes = self.session.as_ref().map_or(&self.expected, |live| &live.attributes);
        attributes.line(name, b"", Some(Span::ZERO))
    }
}

impl Live {
    /// When the token ends that the backend sees.
    #[must_use]
    pub fn seen_exp(&self) -> UnixSeconds {
        self.handed_off.as_ref().map_or(self.token.exp, |minted| minted.exp)
    }

    pub(super) fn was_sent(&self, value: &[u8]) -> bool {
        value == self.token.text() || self.handed_off.as_ref().is_some_and(|minted| minted.text == value)
    }
}

/// Judges a request. Never fails: what is not understood goes on unchanged.
#[must_use]
pub fn decide(rules: &Rules, around: &Surroundings<'_>, facts: &RequestFacts<'_>, now: UnixMillis) -> Verdict {
    let mut path = rules.paths.facts(facts.path);
    if rules.login.as_ref().and_then(|login| login.path()).is_some_and(|login| login.as_bytes() == facts.path) {
        path.protected = false;
    }
    let cookies = Cookies::parse(facts.cookies);
    let tombstones_name = rules.cookie.tombstones_name();
    let tombstones = Tombstones::read(cookies.named(tombstones_name.as_bytes()).map(|(_, value)| value));
    let found = Found::among(rules, around, &cookies, &tombstones, &path, now);

    let companion_name = rules.cookie.companion_name();
    let mut edits = found.edits;
    let companions: Vec<_> = cookies.named(companion_name.as_bytes()).collect();
    let ours = companions.iter().map(|(place, _)| *place).chain(cookies.named(tombstones_name.as_bytes()).map(|(place, _)| place));
    edits.extend(ours.map(|place| (place, Edit::Remove)));

    let (mut events, mut effects) = (found.events, found.effects);
    let configured = rules.cookie.attributes_for(facts.secure);
    let expected = around.learned.map_or(configured, |learned| &learned.attributes).clone();
    let mut session = None;
    if let Some((place, token)) = found.session {
        let companion = companions.iter().find_map(|(_, value)| Companion::decode(value, &token.family, &rules.keys, now));
        if companion.is_none() && !companions.is_empty() {
            events.push(Event::CompanionRejected);
        }
        let live = live(rules, around, facts, &path, token, companion, found.ambiguous, now);
        if let Some(minted) = &live.handed_off {
            edits.push((place, Edit::Replace(minted.text.clone())));
            if matches!(live.due, Due::Yes(_)) {
                effects.push(Effect::Renew { family: live.token.family, exp: minted.exp });
            }
        }
        session = Some(live);
    }

    let is_blind = session.is_some() && around.ended.is_blind();
    let outcome = match &session {
        Some(_) if is_blind => Outcome::Refused(Refused::StoreLost),
        Some(live) => Outcome::Kept(live.due.kept()),
        None => found.outcome,
    };
    let forward = if path.bad {
        Forward::BadPath
    } else if is_blind {
        Forward::Unavailable
    } else if path.protected && session.is_none() && !found.expired_goes_on {
        refuse(rules, facts, outcome)
    } else if edits.is_empty() {
        Forward::AsItCame
    } else {
        Forward::Cookies(cookies.edited(&edits))
    };
    let outcome = if let Forward::Unauthorized(refused) = &forward { *refused } else { outcome };
    let outcome = if matches!(forward, Forward::ToLogin(_)) { refused(outcome) } else { outcome };
    Verdict {
        forward,
        outcome,
        session,
        over: found.over,
        events,
        effects,
        path,
        now,
        tombstones,
        expected,
        configured: configured.clone(),
        has_companion: !companions.is_empty(),
    }
}

/// What stands in the cookies named C.
struct Found {
    session: Option<(usize, Arc<SessionToken>)>,
    ambiguous: bool,
    /// A merely expired C that this path may still see.
    expired_goes_on: bool,
    over: Option<Arc<SessionToken>>,
    outcome: Outcome,
    edits: Vec<(usize, Edit)>,
    events: Vec<Event>,
    effects: Vec<Effect>,
}

impl Found {
    /// Rule Q2, Q3, Q8: the first that verifies is the session, and then the others go; without one, the dead go.
    fn among(
        rules: &Rules,
        around: &Surroundings<'_>,
        cookies: &Cookies<'_>,
        tombstones: &Tombstones,
        path: &PathFacts,
        now: UnixMillis,
    ) -> Self {
        let mut found = Self {
            session: None,
            ambiguous: false,
            expired_goes_on: false,
            over: None,
            outcome: Outcome::Anonymous,
            edits: Vec::new(),
            events: Vec::new(),
            effects: Vec::new(),
        };
        let mut others = Vec::new();
        for (index, (place, value)) in cookies.named(rules.cookie.name.as_bytes()).enumerate() {
            if index >= MOST_CANDIDATES {
                found.edits.push((place, Edit::Remove));
                continue;
            }
            let reading = match read_known(rules, around.verified, value, now) {
                Reading::Session(token) => match ending(around, tombstones, &token, now) {
                    None => Ok(token),
                    Some(dead) => {
                        // A replica that did not hear of the end may have renewed it: remember it for as long as that lives.
                        if around.ended.ended(&token.family, token.subject.as_ref(), token.origin, now) == Some(Ending::LoggedOut) {
                            let until = token.exp.millis().plus(TOMBSTONE_GRACE);
                            found.effects.push(Effect::End { family: token.family, subject: token.subject, until });
                        }
                        found.over.get_or_insert(token);
                        Err((Outcome::Stripped(dead), false))
                    }
                },
                Reading::Dead(Dead::Expired(token)) => {
                    // Legacy refresh and logout handlers want to see what has merely expired, never what was ended.
                    // One that the cap ended is for no handler that would begin it anew.
                    let merely = token.exp.millis() <= now && (path.logout || token.cap().is_none_or(|cap| now < cap.millis()));
                    let goes_on = path.expired && merely && ending(around, tombstones, &token, now).is_none();
                    found.expired_goes_on |= goes_on;
                    found.over.get_or_insert(token);
                    Err((Outcome::Stripped(DeadWord::Expired), goes_on))
                }
                Reading::Dead(dead) => Err((Outcome::Stripped(word(&dead)), false)),
                Reading::NotOurs(why) => {
                    if why != NotOurs::NoJwt {
                        found.events.push(Event::TokenUnusable(foreign(why)));
                    }
                    Err((Outcome::Passed(foreign(why)), true))
                }
            };
            match (reading, &found.session) {
                (Ok(token), None) => found.session = Some((place, token)),
                (Ok(token), Some((_, first))) => {
                    found.ambiguous |= token.family != first.family;
                    others.push(place);
                }
                (Err((outcome, goes_on)), _) => {
                    if found.outcome == Outcome::Anonymous {
                        found.outcome = outcome;
                    }
                    if goes_on {
                        others.push(place);
                    } else {
                        found.edits.push((place, Edit::Remove));
                    }
                }
            }
        }
        if found.session.is_some() {
            found.edits.extend(others.into_iter().map(|place| (place, Edit::Remove)));
        }
        found
    }
}

#[expect(clippy::too_many_arguments, reason = "one call; a struct for it would only rename these")]
fn live(
    rules: &Rules,
    around: &Surroundings<'_>,
    facts: &RequestFacts<'_>,
    path: &PathFacts,
    token: Arc<SessionToken>,
    companion: Option<Companion>,
    ambiguous: bool,
    now: UnixMillis,
) -> Live {
    let clocks = rules.policy.clocks(token.class);
    let remaining = token.remaining(now);
    let due = if ambiguous {
        Due::Ambiguous
    } else if facts.signs.is_passive(path) {
        Due::Passive
    } else if token.outlives(clocks.ttl, now) {
        Due::Yes(Renewed::Clamp)
    } else if token.key == KeyRole::Previous {
        Due::Yes(Renewed::Rekey)
    } else if remaining < clocks.threshold {
        Due::Yes(Renewed::Threshold)
    } else {
        Due::No
    };
    let due = if matches!(due, Due::Yes(_)) && around.ended.is_paused(now) { Due::Paused } else { due };
    let dying = remaining < HAND_OFF.min(clocks.threshold.divided_by(10));
    let is_due = matches!(due, Due::Yes(_));
    // Q7. A failed hand-off leaves the old token, which is still good.
    let handed_off = if is_due && (dying || token.key == KeyRole::Previous) {
        renewed_exp(rules, &token, now).ok()
    } else {
        (token.key == KeyRole::Previous).then_some(token.exp)
    }
    .and_then(|exp| mint(rules, around.signer, &token, exp, now).ok());

    let from_companion = companion.is_some();
    let known = companion.or_else(|| around.learned.cloned());
    let (attributes, persistent) = match known {
        Some(known) => (known.attributes, known.persistent),
        None => (rules.cookie.attributes_for(facts.secure).clone(), true),
    };
    Live { token, due, handed_off, attributes, persistent, from_companion }
}

fn ending(around: &Surroundings<'_>, tombstones: &Tombstones, token: &SessionToken, now: UnixMillis) -> Option<DeadWord> {
    if tombstones.contains(&token.family) {
        return Some(DeadWord::Tombstoned);
    }
    around.ended.ended(&token.family, token.subject.as_ref(), token.origin, now).map(|ending| match ending {
        Ending::LoggedOut => DeadWord::Tombstoned,
        Ending::Revoked => DeadWord::Revoked,
    })
}

fn refuse(rules: &Rules, facts: &RequestFacts<'_>, outcome: Outcome) -> Forward {
    match &rules.login {
        Some(login) if facts.signs.is_navigation() => {
            Forward::ToLogin(login.location(facts.signs.method == Method::Get, facts.path, facts.query))
        }
        _ => Forward::Unauthorized(refused(outcome)),
    }
}

const fn refused(outcome: Outcome) -> Outcome {
    Outcome::Refused(match outcome {
        Outcome::Stripped(_) => Refused::Dead,
        Outcome::Passed(_) => Refused::NotOurs,
        _ => Refused::NoSession,
    })
}

const fn word(dead: &Dead) -> DeadWord {
    match dead {
        Dead::Unverified => DeadWord::Unverified,
        Dead::TooLong => DeadWord::TooLong,
        Dead::NotYetValid => DeadWord::NotYetValid,
        Dead::Expired(_) => DeadWord::Expired,
    }
}

pub(super) const fn foreign(why: NotOurs) -> Foreign {
    match why {
        NotOurs::NoJwt => Foreign::NoJwt,
        NotOurs::MissingExp => Foreign::MissingExp,
        NotOurs::UnusableTime => Foreign::UnusableTime,
        NotOurs::WrongIssuer => Foreign::WrongIssuer,
        NotOurs::WrongAudience => Foreign::WrongAudience,
        NotOurs::NotSession => Foreign::NotSession,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Forgetful;
    use crate::session::keys::DirectSigner;
    use crate::session::testing::{NOW, Nobody, Setup, at};
    use crate::session::token::read;

    fn judged(setup: &Setup, cookies: &str, is_passive: bool, later: i64) -> Verdict {
        let around = Surroundings { ended: &Nobody, verified: &Forgetful, signer: &DirectSigner, learned: None };
        let signs = Signs { method: Method::Get, session_passive: is_passive.then_some(b"1"), ..Signs::default() };
        let facts = RequestFacts { cookies: cookies.as_bytes(), path: b"/", query: None, secure: false, signs };
        decide(&setup.rules, &around, &facts, at(later))
    }

    /// The session that went to the backend, and what it says now.
    fn sent(setup: &Setup, verdict: &Verdict, later: i64) -> SessionToken {
        let Forward::Cookies(cookies) = &verdict.forward else { panic!("{:?}", verdict.forward) };
        let value = cookies.strip_prefix(b"session=").unwrap();
        let Reading::Session(token) = read(&setup.rules, value, at(later)) else { panic!("no session went on") };
        Arc::unwrap_or_clone(token)
    }

    /// A backend that knows only the new key never sees the old one, and a passive request moves no clock.
    #[test]
    fn q7_a_session_of_the_previous_key_goes_on_under_the_active_one() {
        let setup = Setup::rotating(Some("new"));
        let exp = NOW + 7000;
        let old = setup.token_by_previous(r#"{"alg":"HS256","kid":"old"}"#, &format!(r#"{{"sub":"a","iat":{NOW},"exp":{exp}}}"#));
        let cookies = format!("session={old}");

        let active = judged(&setup, &cookies, false, 500);
        assert_eq!(active.session.as_ref().unwrap().due, Due::Yes(Renewed::Rekey));
        let token = sent(&setup, &active, 500);
        assert_eq!((token.key, token.exp.get()), (KeyRole::Active, NOW + 500 + 7200));

        let passive = judged(&setup, &cookies, true, 500);
        assert_eq!(passive.session.as_ref().unwrap().due, Due::Passive);
        let token = sent(&setup, &passive, 500);
        assert_eq!((token.key, token.exp.get()), (KeyRole::Active, exp));

        // The rotation is over: whoever was away for all of it is out.
        let over = judged(&setup, &cookies, false, 3600);
        assert_eq!((over.outcome, over.forward), (Outcome::Stripped(DeadWord::Unverified), Forward::Cookies(Vec::new())));
    }

    #[test]
    fn q2_no_more_than_a_few_candidates_are_verified() {
        let setup = Setup::new();
        let good = setup.token(&format!(r#"{{"sub":"a","iat":{NOW},"exp":{}}}"#, NOW + 7200));
        let dead = setup.token(r#"{"sub":"a","exp":1}"#);
        let with = |before: usize| format!("{}session={good}", format!("session={dead}; ").repeat(before));
        assert!(judged(&setup, &with(MOST_CANDIDATES - 1), false, 0).session.is_some());
        let flooded = judged(&setup, &with(MOST_CANDIDATES), false, 0);
        assert!(flooded.session.is_none());
        assert_eq!(flooded.forward, Forward::Cookies(Vec::new()));
    }
}
