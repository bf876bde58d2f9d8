//! A legacy backend that knows one key and trusts its tokens, and the ledger of every token it made.

use super::plan::{LogoutStyle, Millis, SECOND, Setting, Style};
use super::rng::Rng;
use crate::harness::token_by;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::Deserialize;
use slidecar::session::token::IatMode;
use std::collections::HashMap;

pub const SECRETS: [&str; 2] =
    ["the key of the first half, thirty-two bytes or more", "the key of the second half, thirty-two bytes or more"];
pub const KEY_IDS: [&str; 2] = ["spring", "autumn"];
pub const COOKIE: &str = "session";

/// What a request asks of the backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    Page,
    Poll,
    Login { subject: String, demo: bool },
    Logout,
}

/// What the backend answered.
#[derive(Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub lines: Vec<String>,
    pub cache_control: Option<&'static str>,
    pub clears: bool,
    /// The token that it made for this answer.
    pub made: Option<Made>,
    /// It took the request for somebody's.
    pub is_somebodys: bool,
    pub logs_out: bool,
}

impl Ask {
    pub const fn begins(&self) -> bool {
        matches!(self, Self::Login { .. })
    }
}

impl Answer {
    /// It ends whatever session the request carried.
    pub fn makes_an_end(&self) -> bool {
        self.logs_out || self.made.is_some()
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Made {
    pub session: usize,
    pub lives: Millis,
}

/// The token that is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// Nobody's, for some logouts.
    pub subject: Option<&'a str>,
    pub demo: bool,
    /// The token whose session goes on.
    pub before: Option<usize>,
    pub key: usize,
    /// What the backend's clock shows.
    pub clock: i64,
    pub now: Millis,
}

/// A session as the backend and its person see it.
#[derive(Clone, Debug)]
pub struct Session {
    pub subject: Option<String>,
    pub demo: bool,
    /// When it began, in true time.
    pub begun: Millis,
    /// The last moment that could have given it more time.
    pub active: Millis,
    pub weak: bool,
}

/// One token that the backend made; renewals are the same one, later.
#[derive(Clone, Debug)]
pub struct Mint {
    pub session: usize,
    pub origin: Option<i64>,
    style: Style,
    claims: Claims,
}

/// What a token says.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Claims {
    pub sub: Option<String>,
    pub sid: Option<String>,
    pub jti: Option<String>,
    pub role: Option<String>,
    pub auth_time: Option<i64>,
    pub orig_iat: Option<i64>,
    pub iat: Option<i64>,
    pub exp: i64,
}

/// A token, taken apart.
#[derive(Clone, Debug)]
pub struct Known {
    pub mint: usize,
    pub session: usize,
    pub claims: Claims,
    /// Which of the two keys signed it.
    pub key: usize,
}

#[derive(Default)]
pub struct Ledger {
    pub sessions: Vec<Session>,
    pub mints: Vec<Mint>,
    families: HashMap<String, usize>,
    by_claims: HashMap<String, usize>,
    known: HashMap<String, Known>,
    numbers: u64,
    /// Renewals change `iat`, so that it says nothing about where a token comes from.
    bumps: bool,
}

impl Claims {
    pub fn origin(&self) -> Option<i64> {
        self.auth_time.or(self.orig_iat).or(self.iat)
    }

    /// What stays the same in every renewal of one token.
    fn lasting(&self, bumps: bool) -> String {
        let iat = self.iat.filter(|_| !bumps);
        format!("{:?} {:?} {:?} {:?} {:?} {iat:?}", self.sub, self.sid, self.jti, self.role, self.origin())
    }

    /// What stays the same for one session (SPEC §1, family).
    fn family(&self) -> String {
        match (&self.sid, &self.jti) {
            (Some(id), _) => format!("sid {id}"),
            (None, Some(id)) => format!("jti {id}"),
            (None, None) => format!("{:?} {:?} {:?}", self.sub, self.role, self.origin()),
        }
    }
}

impl Ledger {
    pub fn new(setting: &Setting) -> Self {
        Self { bumps: setting.iat == IatMode::Bump, ..Self::default() }
    }

    /// Makes a token for a session that is new, or goes on in `before`.
    pub fn make(&mut self, setting: &Setting, order: &Order<'_>) -> (String, Made) {
        let Order { subject, demo, before, key, clock, now } = *order;
        self.numbers += 1;
        let earlier = before.map(|mint| self.mints[mint].claims.clone());
        let lives = setting.backend_ttl[usize::from(demo)];
        let style = if subject.is_none() { Style::Bare } else { setting.style };
        let sid = earlier.as_ref().and_then(|claims| claims.sid.clone()).unwrap_or_else(|| match style {
            Style::SameSid => format!("of {}", subject.unwrap_or_default()),
            _ => format!("s{}", self.numbers),
        });
        let auth_time = earlier.as_ref().and_then(|claims| claims.auth_time).unwrap_or(clock);
        let claims = Claims {
            sub: subject.map(str::to_owned),
            sid: matches!(style, Style::Sid | Style::SameSid | Style::AuthTime).then_some(sid),
            jti: (style == Style::Jti).then(|| format!("j{}", self.numbers)),
            // Two people who are nobody must not be one.
            role: Some(if demo {
                "demo".to_owned()
            } else {
                subject.map_or_else(|| format!("nobody{}", self.numbers), |_| "clerk".to_owned())
            }),
            auth_time: (style == Style::AuthTime).then_some(auth_time),
            orig_iat: None,
            iat: (style != Style::Weak).then_some(clock),
            exp: clock + lives,
        };
        let session = self.session(&claims, demo, now);
        let mint = Mint { session, origin: claims.origin(), style, claims: claims.clone() };
        let text = token_by(SECRETS[key], &header(setting, key), &mint.payload(&claims));
        let place = *self.by_claims.entry(claims.lasting(self.bumps)).or_insert(self.mints.len());
        if place == self.mints.len() {
            self.mints.push(mint);
        }
        (text, Made { session, lives: lives * SECOND })
    }

    fn session(&mut self, claims: &Claims, demo: bool, now: Millis) -> usize {
        let fresh = self.sessions.len();
        let session = *self.families.entry(claims.family()).or_insert(fresh);
        if session == fresh {
            let weak = claims.sid.is_none() && claims.jti.is_none() && claims.origin().is_none();
            self.sessions.push(Session { subject: claims.sub.clone(), demo, begun: now, active: now, weak });
        }
        session
    }

    /// Whose token this is; `None` for what is none of ours or is not signed by either key.
    pub fn know(&mut self, text: &str) -> Option<&Known> {
        if !self.known.contains_key(text) {
            let (input, signature) = text.rsplit_once('.')?;
            let (header, payload) = input.split_once('.')?;
            let claims: Claims = serde_json::from_slice(&BASE64.decode(payload).ok()?).ok()?;
            let mint = *self.by_claims.get(&claims.lasting(self.bumps))?;
            let payload = String::from_utf8(BASE64.decode(payload).ok()?).ok()?;
            let header = String::from_utf8(BASE64.decode(header).ok()?).ok()?;
            // HMAC is deterministic, so that signing again is verifying.
            let key = SECRETS.iter().position(|secret| token_by(secret, &header, &payload).ends_with(&format!(".{signature}")))?;
            let session = self.mints[mint].session;
            self.known.insert(text.to_owned(), Known { mint, session, claims, key });
        }
        self.known.get(text)
    }

    /// What the backend wrote into the token that this one comes from.
    pub fn made_as(&self, known: &Known) -> Claims {
        self.mints[known.mint].claims.clone()
    }

    /// The very bytes that a token of this mint has to have, for what its claims may say.
    pub fn bytes(&self, setting: &Setting, known: &Known) -> String {
        format!("{}.{}", BASE64.encode(header(setting, known.key)), BASE64.encode(self.mints[known.mint].payload(&known.claims)))
    }
}

impl Mint {
    /// The payload, spelled in a way of the style's own, with `iat`, `orig_iat` and `exp` as given and all else as made.
    fn payload(&self, times: &Claims) -> String {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let date = |value: Option<i64>| value.map(|value| value.to_string()).unwrap_or_default();
        let (sub, role, iat, exp) = (text(&self.claims.sub), text(&self.claims.role), date(times.iat), times.exp);
        let body = match self.style {
            Style::Sid | Style::SameSid => {
                let sid = text(&self.claims.sid);
                format!(r#"{{"sub":"{sub}","sid":"{sid}","role":"{role}","n":{{"exp":1,"iat":[2,3.50]}},"iat":{iat},"exp":{exp}"#)
            }
            Style::Jti => {
                let jti = text(&self.claims.jti);
                format!(
                    r#"{{ "exp" : {exp}, "iat":{iat} ,"jti":"{jti}", "name":"J\u00f6rg \"exp\":1","big":123456789012345678901234567890,"sub":"{sub}","role":"{role}" "#
                )
            }
            Style::Bare if self.claims.sub.is_none() => format!(r#"{{"role":"{role}","iat":{iat},"exp":{exp}"#),
            Style::Bare => format!(r#"{{"iat":{iat},"sub":"{sub}","role":"{role}","exp":{exp},"tail":1e-3"#),
            Style::AuthTime => {
                let (sid, auth_time) = (text(&self.claims.sid), date(self.claims.auth_time));
                format!(r#"{{"auth_time":{auth_time},"sub":"{sub}","sid":"{sid}","role":"{role}","iat":{iat},"exp":{exp}"#)
            }
            Style::Weak => format!(r#"{{"sub":"{sub}","role":"{role}","exp":{exp}"#),
        };
        let origin = times.orig_iat.map(|origin| format!(",\"orig_iat\":{origin}")).unwrap_or_default();
        format!("{body}{origin}}}")
    }
}

fn header(setting: &Setting, key: usize) -> String {
    if setting.key_ids {
        format!(r#"{{"alg":"HS256","kid":"{}","typ":"JWT"}}"#, KEY_IDS[key])
    } else {
        r#"{"typ":"JWT","alg":"HS256"}"#.to_owned()
    }
}

/// What the backend of one pod needs to answer.
pub struct Desk<'a> {
    pub setting: &'a Setting,
    pub ledger: &'a mut Ledger,
    pub rng: &'a mut Rng,
    /// The one key that this pod's backend knows.
    pub key: usize,
    /// What its clock shows, in whole seconds.
    pub clock: i64,
    pub now: Millis,
}

impl Desk<'_> {
    pub fn answer(&mut self, ask: &Ask, cookies: &str) -> Answer {
        let value = cookies.split("; ").find_map(|pair| pair.strip_prefix("session=")).unwrap_or_default().to_owned();
        let (key, clock) = (self.key, self.clock);
        let known =
            self.ledger.know(&value).filter(|known| known.key == key && known.claims.exp > clock && known.claims.sub.is_some()).cloned();
        let mut answer = match ask {
            Ask::Login { subject, demo } => self.log_in(subject, *demo),
            Ask::Logout => self.log_out(),
            Ask::Page | Ask::Poll => match &known {
                Some(known) => self.page(&value, known),
                None => Answer { status: 401, ..Answer::default() },
            },
        };
        answer.is_somebodys = known.is_some();
        if self.rng.chance(20) {
            answer.lines.insert(0, format!("theme={}; Path=/; Expires=Wed, 21 Oct 2065 07:28:00 GMT; max-age=9", answer.status));
        }
        answer
    }

    fn page(&mut self, value: &str, known: &Known) -> Answer {
        let page = |status| Answer { status, ..Answer::default() };
        if self.setting.resends {
            return Answer { lines: vec![self.line(value, self.setting.backend_ttl[0])], ..page(200) };
        }
        match self.rng.index(100) {
            0..=3 => page(304),
            4..=6 => page(503),
            7..=10 => Answer { cache_control: Some("public, max-age=60"), ..page(200) },
            11..=14 => page(404),
            15..=22 if self.setting.reissues => {
                let (subject, demo) = (known.claims.sub.clone(), known.claims.role.as_deref() == Some("demo"));
                self.with_token(subject.as_deref(), demo, Some(known.mint))
            }
            _ => page(200),
        }
    }

    fn log_in(&mut self, subject: &str, demo: bool) -> Answer {
        self.with_token(Some(subject), demo, None)
    }

    fn with_token(&mut self, subject: Option<&str>, demo: bool, before: Option<usize>) -> Answer {
        let order = Order { subject, demo, before, key: self.key, clock: self.clock, now: self.now };
        let (text, made) = self.ledger.make(self.setting, &order);
        Answer {
            status: 200,
            lines: vec![self.line(&text, self.setting.backend_ttl[usize::from(demo)])],
            made: Some(made),
            ..Answer::default()
        }
    }

    fn log_out(&mut self) -> Answer {
        let deletion = format!("{COOKIE}=; {}; Max-Age=0", self.setting.attributes);
        let answer = match self.setting.logout {
            LogoutStyle::Deletion => Answer { status: 302, lines: vec![deletion], ..Answer::default() },
            LogoutStyle::Declared => Answer { status: 204, ..Answer::default() },
            LogoutStyle::AnonymousSwap => self.with_token(None, false, None),
            LogoutStyle::ClearSiteData => Answer { status: 200, lines: vec![deletion], clears: true, ..Answer::default() },
        };
        Answer { logs_out: true, ..answer }
    }

    fn line(&self, value: &str, lives: i64) -> String {
        let attributes = self.setting.attributes;
        if self.setting.lasting {
            format!("{COOKIE}={value}; Max-Age={lives}; {attributes}")
        } else {
            format!("{COOKIE}={value}; {attributes}")
        }
    }
}
