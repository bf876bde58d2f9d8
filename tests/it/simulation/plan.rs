//! What a world is made of: all of it follows from a seed and a few bounds, so that a failing world can be made smaller.

use super::gaps;
use super::replica::LOGIN;
use super::rng::Rng;
use slidecar::session::Persistence;
use slidecar::session::policy::{Class, PolicySettings, SessionPolicy};
use slidecar::session::time::Span;
use slidecar::session::token::IatMode;

/// Milliseconds, true time: what no clock of the world shows exactly.
pub type Millis = i64;

pub const SECOND: Millis = 1000;
pub const MINUTE: Millis = 60 * SECOND;
pub const HOUR: Millis = 60 * MINUTE;
pub const DAY: Millis = 24 * HOUR;
/// Every clock is within this of the truth.
pub const SKEW: Millis = 2 * SECOND;
/// Two clocks that differ by twice the skew, a second of rounding in the token and one in the cookie.
pub const SLACK: Millis = 2 * SKEW + 2 * SECOND;

/// How late a renewal may be made after a logout elsewhere: what a tombstone lives longer than a token (SPEC L1).
pub const TOMBSTONE_GRACE: Millis = 10 * MINUTE;

/// One world; smaller numbers make a smaller world with the same people in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    pub seed: u64,
    pub days: i64,
    pub users: usize,
    pub replicas: usize,
    /// Answers get lost.
    pub loses: bool,
    /// Answers come late and out of order.
    pub delays: bool,
    /// Processes restart, policies change and keys rotate.
    pub changes: bool,
}

impl Plan {
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::new(seed, 1);
        Self { seed, days: 30, users: 2 + rng.index(3), replicas: 1 + rng.index(3), loses: true, delays: true, changes: true }
    }

    /// Every way to make this world smaller, the boldest first.
    pub fn smaller(self) -> impl Iterator<Item = Self> {
        let candidates = [
            Self { users: 1, ..self },
            Self { days: self.days / 2, ..self },
            Self { days: self.days * 3 / 4, ..self },
            Self { replicas: 1, ..self },
            Self { users: self.users.saturating_sub(1), ..self },
            Self { replicas: self.replicas.saturating_sub(1), ..self },
            Self { changes: false, ..self },
            Self { loses: false, ..self },
            Self { delays: false, ..self },
            Self { days: self.days - 1, ..self },
        ];
        candidates.into_iter().filter(move |plan| *plan != self && plan.users > 0 && plan.replicas > 0 && plan.days > 0)
    }
}

/// What the backend's tokens look like, and so what slidecar can know a session by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `sid`, the same on every re-issue.
    Sid,
    /// `jti`, new on every re-issue.
    Jti,
    /// Neither; only `iat` tells sessions apart.
    Bare,
    /// `sid`, and `auth_time` that re-issues keep.
    AuthTime,
    /// Not even `iat`: a weak family.
    Weak,
    /// A `sid` that a person keeps through logouts and logins.
    SameSid,
}

/// How the backend ends a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogoutStyle {
    Deletion,
    /// Nothing but a 204 on a declared path.
    Declared,
    /// A token of nobody takes the place of the session.
    AnonymousSwap,
    ClearSiteData,
}

/// Everything about one world that is not a person.
#[derive(Clone, Debug)]
pub struct Setting {
    /// One policy, or two of which the second comes into force replica by replica.
    pub policies: Vec<SessionPolicy>,
    pub policy_change: Option<Millis>,
    pub rotation: Option<Millis>,
    pub key_ids: bool,
    pub restarts: Vec<Millis>,
    pub iat: IatMode,
    pub persistence: Persistence,
    pub https: bool,
    pub style: Style,
    /// How long the backend's own tokens live, in seconds, per class.
    pub backend_ttl: [i64; 2],
    /// The backend's attributes for C but the lifetime.
    pub attributes: &'static str,
    /// The backend sets C with a lifetime.
    pub lasting: bool,
    /// slidecar is told the backend's attributes.
    pub told: bool,
    /// The edge itself protects the application.
    pub protects: bool,
    pub logout: LogoutStyle,
    /// The backend sends the cookie it got on every answer.
    pub resends: bool,
    /// The backend sometimes makes a new token for the same session.
    pub reissues: bool,
    /// The first session of each user began before slidecar was installed, with a token of seven days.
    pub installed_late: bool,
    /// Where people log in; not always where C is sent.
    pub login: &'static str,
}

impl Setting {
    pub fn of(plan: &Plan) -> Self {
        let mut rng = Rng::new(plan.seed, 2);
        let first = rng.index(POLICIES.len());
        let second = rng.index(POLICIES.len());
        let policy_change = (rng.chance(25) && plan.changes && first != second).then(|| rng.between(8 * DAY, 20 * DAY));
        let policies = std::iter::once(first).chain(policy_change.map(|_| second)).map(policy).collect::<Vec<_>>();
        let rotation = (rng.chance(30) && plan.changes).then(|| rng.between(8 * DAY, 20 * DAY));
        let restarts = (0..rng.between(0, 4)).map(|_| rng.between(0, 30 * DAY)).collect();
        let capped = policies.iter().any(|policy| policy.absolute().is_some());
        let style = match rng.index(10) {
            0..=2 => Style::Sid,
            3..=4 => Style::Jti,
            5..=6 => Style::Bare,
            7 => Style::AuthTime,
            8 if !gaps::SAME_NAME => Style::SameSid,
            // A cap and no origin: such sessions are never renewed at all.
            _ if capped => Style::AuthTime,
            _ => Style::Weak,
        };
        let keeps_its_name = matches!(style, Style::Weak | Style::SameSid);
        let lives = rng.index(4);
        let backend_ttl = [Class::Standard, Class::Demo].map(|class| {
            let ttl = seconds(policies[0].clocks(class).ttl);
            [ttl, ttl, 7 * 86_400, ttl / 2][lives]
        });
        let https = rng.chance(40);
        let attributes = if https { HTTPS_ATTRIBUTES[rng.index(4)] } else { HTTP_ATTRIBUTES[rng.index(4)] };
        let logout =
            [LogoutStyle::Deletion, LogoutStyle::Deletion, LogoutStyle::Declared, LogoutStyle::AnonymousSwap, LogoutStyle::ClearSiteData]
                [rng.index(5)];
        let told = rng.chance(30);
        let installed_late = rng.chance(20);
        Self {
            policies,
            policy_change,
            rotation,
            key_ids: rng.chance(50),
            restarts: if plan.changes { restarts } else { Vec::new() },
            iat: if rng.chance(30) { IatMode::Bump } else { IatMode::Keep },
            persistence: if rng.chance(30) { Persistence::Always } else { Persistence::Follow },
            https,
            style,
            backend_ttl,
            attributes,
            lasting: rng.chance(70),
            // What a process cannot have seen, it must be told.
            told: told || installed_late,
            protects: rng.chance(50),
            logout,
            resends: rng.chance(15),
            reissues: rng.chance(25),
            installed_late,
            login: if rng.chance(25) && !(gaps::NARROW_PATH && keeps_its_name) { "/login" } else { LOGIN },
        }
    }

    /// R of a person that may meet any replica: the shortest in force.
    pub fn threshold(&self, class: Class) -> Millis {
        self.policies.iter().map(|policy| millis(policy.clocks(class).threshold)).min().expect("a policy")
    }

    /// The longest TTL that any replica gives.
    pub fn longest_ttl(&self, class: Class) -> Millis {
        self.policies.iter().map(|policy| millis(policy.clocks(class).ttl)).max().expect("a policy")
    }

    /// How long a tombstone lives that the replica with the shortest TTL sets.
    pub fn shortest_tombstone(&self) -> Millis {
        self.policies.iter().map(|policy| millis(policy.longest_ttl())).min().expect("a policy") + TOMBSTONE_GRACE - SLACK
    }

    /// The same of the replica with the longest TTL.
    pub fn longest_tombstone(&self) -> Millis {
        self.policies.iter().map(|policy| millis(policy.longest_ttl())).max().expect("a policy") + TOMBSTONE_GRACE
    }

    /// The shortest A that any replica enforces.
    pub fn absolute(&self) -> Option<Millis> {
        self.policies.iter().filter_map(SessionPolicy::absolute).map(millis).min()
    }

    /// No answer takes longer: half of what a renewal wins, so that the token of an overtaken answer is still a good one.
    pub fn patience(&self) -> Millis {
        let gain = |policy: &SessionPolicy, class| millis(policy.clocks(class).ttl) - millis(policy.clocks(class).threshold);
        self.policies.iter().flat_map(|policy| [gain(policy, Class::Standard), gain(policy, Class::Demo)]).min().expect("a policy") / 2
    }

    /// Where C is sent.
    pub fn cookie_path(&self) -> &'static str {
        if self.attributes.contains("/app") { "/app" } else { "/" }
    }

    /// Re-issues make another family of the session.
    pub fn renames(&self) -> bool {
        self.reissues && matches!(self.style, Style::Jti | Style::Bare)
    }
}

pub fn millis(span: Span) -> Millis {
    i64::try_from(span.as_millis()).expect("a span of a policy")
}

pub fn seconds(span: Span) -> i64 {
    millis(span) / SECOND
}

const HTTP_ATTRIBUTES: [&str; 4] = [
    "Path=/; HttpOnly; SameSite=Lax",
    "Path=/app; HttpOnly",
    "path=/; httponly; Priority=High",
    "Path=/; Domain=example.com; SameSite=Strict",
];
const HTTPS_ATTRIBUTES: [&str; 4] = [
    "Path=/; HttpOnly; Secure; SameSite=Lax",
    "Path=/app; Secure; HttpOnly; SameSite=None; Partitioned",
    "Path=/; HttpOnly",
    "Secure; Path=/",
];

/// TTL, R, A in minutes, and how many times shorter the demo class lives.
const POLICIES: [(u64, u64, Option<u64>, u64); 6] = [
    (120, 60, None, 4),
    (120, 60, Some(720), 1),
    (30, 10, Some(480), 2),
    (1440, 720, Some(10_080), 4),
    (720, 180, None, 6),
    (15, 5, Some(60), 1),
];

fn policy(index: usize) -> SessionPolicy {
    let (ttl, threshold, absolute, demo) = POLICIES[index];
    let minutes = |count: u64| Span::from_secs(60 * count);
    let settings = PolicySettings {
        ttl: minutes(ttl),
        demo_ttl: Some(minutes(ttl).divided_by(demo)),
        threshold: Some(minutes(threshold)),
        heartbeat: None,
        buffer: minutes(5),
        absolute: absolute.map(minutes),
    };
    SessionPolicy::new(settings).expect("a policy that holds")
}
