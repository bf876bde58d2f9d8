//! A browser's cookie jar (RFC 6265bis §5.7, as far as it matters here), and what its person knows.

use super::plan::{MINUTE, Millis, Setting};
use std::collections::HashSet;

/// One cookie; name, path and domain make it the same one.
#[derive(Clone, Debug)]
struct Cookie {
    name: String,
    path: String,
    domain: Option<String>,
    value: String,
    /// `None` for one that ends with the browser.
    expires: Option<Millis>,
}

#[derive(Debug, Default)]
pub struct Browser {
    jar: Vec<Cookie>,
    /// Answers to a browser that was closed reach nobody.
    pub openings: u64,
    /// Who this person thinks they are.
    pub person: Option<String>,
    /// The families that an answer of a logout or a switch told this browser to forget, latest last.
    pub ended: Vec<(usize, Millis)>,
    /// Families that no tombstone of this browser can name, for a reason that is documented or a gap that is.
    pub unnamed: HashSet<usize>,
    pub promise: Option<Promise>,
    /// The last answer said that nobody is logged in.
    pub noticed_out: bool,
    /// When this browser last sent anything.
    pub last_sent: Millis,
}

/// Until when a person may rely on being logged in, whatever they do or do not do.
#[derive(Clone, Copy, Debug)]
pub struct Promise {
    pub session: usize,
    /// When the login, or the backend's re-issue, came.
    pub since: Millis,
    pub until: Millis,
}

/// How many families a browser's tombstones hold.
const REMEMBERED: usize = 4;

impl Browser {
    /// The `Cookie` field for a request to this path.
    pub fn cookies(&mut self, path: &str, now: Millis) -> String {
        self.jar.retain(|cookie| cookie.expires.is_none_or(|end| end > now));
        let mut sent: Vec<&Cookie> = self.jar.iter().filter(|cookie| covers(&cookie.path, path)).collect();
        // The longest path first, then the oldest.
        sent.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        sent.iter().map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect::<Vec<_>>().join("; ")
    }

    /// The values of all cookies of this name, wherever they live.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.jar.iter().filter(move |cookie| cookie.name == name).map(|cookie| cookie.value.as_str())
    }

    pub fn store(&mut self, line: &str, request_path: &str, https: bool, now: Millis) {
        let mut parts = line.split(';');
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { return };
        let mut cookie = Cookie {
            name: name.trim().to_owned(),
            path: default_path(request_path).to_owned(),
            domain: None,
            value: value.trim().to_owned(),
            expires: None,
        };
        for attribute in parts {
            let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "path" if value.starts_with('/') => cookie.path = value.to_owned(),
                "domain" => cookie.domain = Some(value.to_ascii_lowercase()),
                "max-age" => cookie.expires = Some(now + value.parse::<i64>().expect("whole seconds") * 1000),
                // Such a line from plain http is ignored.
                "secure" if !https => return,
                _ => {}
            }
        }
        let same = |other: &Cookie| other.name == cookie.name && other.path == cookie.path && other.domain == cookie.domain;
        let place = self.jar.iter().position(same);
        match (place, cookie.expires.is_some_and(|end| end <= now)) {
            (Some(place), true) => drop(self.jar.remove(place)),
            (Some(place), false) => self.jar[place] = cookie,
            (None, true) => {}
            (None, false) => self.jar.push(cookie),
        }
    }

    pub fn clear(&mut self) {
        self.jar.clear();
        self.unnamed.extend(self.ended.drain(..).map(|(session, _)| session));
        self.promise = None;
    }

    /// Cookies without a lifetime are gone, and so are the answers under way.
    pub fn close(&mut self) {
        self.jar.retain(|cookie| cookie.expires.is_some());
        self.openings += 1;
        self.person = None;
        self.promise = None;
    }

    pub fn forget(&mut self, session: usize, now: Millis) {
        self.ended.retain(|(ended, _)| *ended != session);
        self.ended.push((session, now));
        self.unnamed.remove(&session);
        let surplus = self.ended.len().saturating_sub(REMEMBERED);
        self.unnamed.extend(self.ended.drain(..surplus).map(|(session, _)| session));
    }

    /// When an answer told this browser to forget the session, if it did.
    pub fn forgotten(&self, session: usize) -> Option<Millis> {
        self.ended.iter().find(|(ended, _)| *ended == session && !self.unnamed.contains(ended)).map(|(_, when)| *when)
    }
}

fn covers(cookie_path: &str, path: &str) -> bool {
    path.strip_prefix(cookie_path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || cookie_path.ends_with('/'))
}

fn default_path(request_path: &str) -> &str {
    match request_path.rfind('/') {
        None | Some(0) => "/",
        Some(last) => &request_path[..last],
    }
}

/// What kind of a person sits there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persona {
    /// Something every now and then, for longer than any one token lives.
    Steady,
    /// Several requests at once, then nothing for a while.
    Bursty,
    /// Comes back just before R, between R and TTL, or just after TTL.
    EdgeIdler,
    /// A tab that asks on and on while nobody is there.
    Polling,
    /// One tab that works and one that polls, with one jar.
    TwoTabs,
    /// A visitor of the demo.
    Demo,
}

impl Persona {
    pub const ALL: [Self; 6] = [Self::Steady, Self::Bursty, Self::EdgeIdler, Self::Polling, Self::TwoTabs, Self::Demo];

    /// How many things this person does per visit.
    pub const fn busy(self) -> (i64, i64) {
        match self {
            Self::Steady => (8, 20),
            Self::Bursty => (5, 10),
            Self::EdgeIdler => (3, 6),
            Self::Polling => (2, 5),
            Self::TwoTabs => (4, 8),
            Self::Demo => (5, 10),
        }
    }

    /// How long until the next thing.
    pub fn pause(self, setting: &Setting, rng: &mut super::rng::Rng) -> Millis {
        use super::plan::SLACK;
        let class = self.class();
        let (threshold, ttl) = (setting.threshold(class), setting.longest_ttl(class));
        match self {
            Self::Bursty | Self::TwoTabs if rng.chance(50) => rng.between(0, 3000),
            Self::EdgeIdler => match rng.index(3) {
                0 => threshold - SLACK - rng.between(0, 3000),
                1 => rng.between(threshold, ttl),
                _ => ttl + SLACK + rng.between(0, MINUTE),
            },
            Self::Polling => rng.between(threshold / 3, 2 * threshold),
            _ => rng.between(threshold / 10, threshold * 9 / 10),
        }
    }

    pub fn class(self) -> slidecar::session::policy::Class {
        if self == Self::Demo { slidecar::session::policy::Class::Demo } else { slidecar::session::policy::Class::Standard }
    }

    pub const fn polls(self) -> bool {
        matches!(self, Self::Polling | Self::TwoTabs)
    }
}
