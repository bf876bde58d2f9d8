//! The examination: one request after the other, in the order in which they tell something.

use super::Trouble;
use super::client::{Answer, Ask, Client, Unreachable};
use super::input::{Input, Login, Way};
use super::jar::{Jar, NoSession, Sighting, printable};
use super::key::GivenKey;
use super::page::Page;
use super::probe::{Original, Probe, renewal_in};
use super::seen::{Clock, CookieClock, Policy, Renewal, Seen, Tried};
use super::verdict::{close, short};
use crate::session::inspect::{Inspected, inspect};
use crate::session::keys::Secret;
use crate::session::time::{Span, UnixMillis, UnixSeconds};
use http::StatusCode;
use serde_json::Value;
use std::time::Duration;
use url::Url;

/// A token that began within this of its login was signed by it.
const FRESH: Span = Span::from_secs(60);
/// One that began within this of a renewal began with it.
const AT_ONCE: Span = Span::from_secs(2);
const ANOTHER_SECOND: Duration = Duration::from_millis(1100);
/// What a server's clock may be off before it is worth a word: a minute of a token's life.
const WORTH_A_WORD: i64 = 30_000;

struct Examination {
    client: Client,
    jar: Jar,
    /// Name of the session cookie.
    name: String,
    seen: Seen,
}

pub async fn examine(input: Input) -> Result<Seen, Trouble> {
    let client = Client::new(input.url.clone(), input.roots, input.fields, input.timeout)
        .map_err(|problem| Trouble::Usage(format!("the URL: {problem}")))?;
    let place = match &input.probe {
        Some(path) => client.place(path).ok_or_else(|| Trouble::Usage("--probe: write a path of the same host".to_owned()))?,
        None => input.url.clone(),
    };
    let nobody = client.send(client.get(&place, None)).await.map_err(|why| away(&input.url, why))?;
    let (jar, login) = match input.way {
        Way::Cookies(jar) => (jar, None),
        Way::Login(login) => {
            let mut jar = Jar::default();
            let answers = log_in(&client, &mut jar, &login, input.name.as_deref()).await?;
            (jar, Some((login, answers)))
        }
    };
    let name = jar.session(input.name.as_deref()).map_err(|none| no_session(none, login.as_ref(), &nobody))?;
    let mut seen = Seen { url: shown(&input.url), is_https: input.url.scheme() == "https", cookie_name: name.clone(), ..Seen::default() };
    let now = nobody.at;
    let (token, exp, _) = current(&jar, &name, now)?;
    describe(&mut seen, &token, now);
    if nobody.ahead.abs() > WORTH_A_WORD {
        let ahead = Span::from_millis(nobody.ahead.unsigned_abs());
        let direction = if nobody.ahead > 0 { "ahead of" } else { "behind" };
        seen.notes.push(format!("The server's clock is {} {direction} this machine's.", short(Span::from_secs(ahead.as_secs()))));
    }
    if let Some((login, answers)) = &login {
        let what = login.shown();
        for answer in answers {
            if let Some(sighting) = Sighting::of(answer, &name) {
                take(&mut seen, &sighting, &what, "the login", true);
            }
        }
    }

    let mut examination = Examination { client, jar, name, seen };
    let with = examination.look(&place, &nobody, exp).await?;
    examination.page(&input.url, &place).await?;
    examination.endpoints(&input.endpoints, now).await?;
    examination.doubt_the_age(now);
    let (token, exp, value) = current(&examination.jar, &examination.name, now)?;
    if let Some(file) = &input.key {
        let key = GivenKey::new(file, &token).map_err(|problem| Trouble::Usage(format!("--key-file: {problem}")))?;
        if !key.signed(&value, now) {
            return Err(Trouble::Usage(
                "--key-file: this key did not sign the session's token; give the one that the application signs with".to_owned(),
            ));
        }
        if let Some(weakness) = &key.weakness {
            examination.seen.notes.push(format!("The key {weakness}. slidecar takes it with JWT_ALLOW_WEAK_SECRET=true only."));
        }
        if key.can_sign {
            examination.probe(&place, with, &key, &value, exp, nobody.ahead).await?;
        } else {
            examination.seen.notes.push("The key file holds a public key: it verifies the token, but signs no probes.".to_owned());
        }
    }
    if let Some(time) = input.watch.filter(|_| examination.seen.renewal.tried == Tried::Looked) {
        examination.watch(&place, with, exp, nobody.ahead, time).await?;
    }
    Ok(examination.seen)
}

impl Examination {
    /// Asks the place once, with the session: is it accepted, and renewed?
    async fn look(&mut self, place: &Url, nobody: &Answer, exp: UnixSeconds) -> Result<StatusCode, Trouble> {
        let mut answer = self.ask(place).await?;
        // A token of the same second has the same end, signed anew or not: the next second tells.
        if Sighting::of(&answer, &self.name).is_some() && renewal_in(&answer, &self.name, exp).is_none() {
            tokio::time::sleep(ANOTHER_SECOND).await;
            answer = self.ask(place).await?;
        }
        let (with, without) = (answer.status, nobody.status);
        let turned_away = |status: StatusCode| status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN;
        let elsewhere = answer.leads_to();
        if turned_away(with) && with == without {
            return Err(Trouble::NoSession(format!(
                "{} answers {} with the session as without it: it does not accept it; give a live one",
                place.path(),
                with.as_u16()
            )));
        }
        if let Some(next) = elsewhere.filter(|next| with == without && !self.client.is_own(next)) {
            return Err(Trouble::NoSession(format!(
                "{} leads to another origin, {}, with the session as without it; the cookie was not sent there. If that is the application, run slidecar doctor on it",
                shown(place),
                printable(&next.origin().ascii_serialization())
            )));
        }
        if with == without {
            self.seen.notes.push(format!(
                "{} answers {} with a session and without one; --probe with a path that needs one tells more.",
                place.path(),
                with.as_u16()
            ));
        }
        let remaining = answer.at.until(exp);
        self.seen.renewal = Renewal { requests: 1, ..Renewal::default() };
        match renewal_in(&answer, &self.name, exp) {
            Some(sighting) => {
                self.seen.renewal.renewed_at = Some(remaining);
                take(&mut self.seen, &sighting, &format!("GET {}", place.path()), "a renewal", false);
            }
            None => {
                self.seen.renewal.kept_at = Some(remaining);
                // The same token in a new cookie tells the cookie's lifetime.
                if let Some(sighting) = Sighting::of(&answer, &self.name) {
                    take(&mut self.seen, &sighting, &format!("GET {}", place.path()), "an answer", false);
                }
            }
        }
        // A token that was cut to a policy on this very request was not renewed; the next one's life is another.
        if self.seen.renewal.kept_at > Some(self.seen.token.span.plus(FRESH)) {
            self.seen.renewal.kept_at = None;
        }
        self.jar.keep(&answer);
        Ok(with)
    }

    async fn page(&mut self, url: &Url, place: &Url) -> Result<(), Trouble> {
        let answer = self.ask(url).await?;
        let jar = &mut self.jar;
        let answer = self.client.follow(answer, |answer| {
            jar.keep(answer);
            jar.field()
        });
        let answer = answer.await.map_err(|why| away(url, why))?;
        if let Some(next) = answer.leads_to() {
            let origin = printable(&next.origin().ascii_serialization());
            self.seen.notes.push(format!("{} leads to {origin}, which is another origin and was not asked.", answer.url.path()));
        }
        let page = Page::read(&self.client, &answer, self.jar.field().as_ref()).await;
        self.seen.timers = page.timers;
        self.seen.asks_policy = page.asks_policy;
        if page.unread > 0 {
            self.seen.notes.push(format!("{} of the page could not be read.", scripts(page.unread)));
        } else if page.scripts == 0 {
            let probed = if url == place { "; give the URL of the page that people open" } else { "" };
            self.seen.notes.push(format!("{} holds no scripts that could be read{probed}.", answer.url.path()));
        }
        if page.foreign > 0 {
            self.seen.notes.push(format!("Not looked into: {} of other origins.", scripts(page.foreign)));
        }
        Ok(())
    }

    /// Policy and status, wherever they are.
    async fn endpoints(&mut self, prefixes: &[String], now: UnixMillis) -> Result<(), Trouble> {
        for prefix in prefixes {
            let Some(place) = self.client.place(&format!("{prefix}/session-policy")) else { continue };
            // An endpoint that does not answer is none.
            let Ok(answer) = self.ask(&place).await else { continue };
            let read = serde_json::from_slice::<Policy>(&answer.body).ok().filter(|_| answer.status == StatusCode::OK);
            let Some(policy) = read else { continue };
            self.seen.policy = Some(Policy { path: place.path().to_owned(), ..policy });
            let Some(place) = self.client.place(&format!("{prefix}/session-status")) else { break };
            let Ok(answer) = self.ask(&place).await else { break };
            let status: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            // While it only observes, nothing else tells that it is there.
            self.seen.has_slidecar |= status["active"].is_boolean() && answer.status == StatusCode::OK;
            if status["active"] == false && answer.status == StatusCode::OK {
                let is_alive = current(&self.jar, &self.name, now).is_ok();
                self.seen.unknown_to_slidecar = status["reason"].as_str().filter(|_| is_alive).map(printable);
            }
            break;
        }
        Ok(())
    }

    /// A renewal may keep `iat`, as slidecar's do: then `exp - iat` grows with the session's age, and says nothing of its policy.
    fn doubt_the_age(&mut self, now: UnixMillis) {
        let (Some(policy), Ok((_, exp, _))) = (&self.seen.policy, current(&self.jar, &self.name, now)) else { return };
        let (ttl, life) = (policy.ttl(), self.seen.token.span);
        if self.seen.is_given && life > ttl && !close(life, ttl) && now.until(exp) <= ttl.plus(FRESH) {
            self.seen.token = Clock { span: ttl, how: "renewed since; fits the policy".to_owned() };
        }
    }

    async fn probe(
        &mut self,
        place: &Url,
        with: StatusCode,
        key: &GivenKey,
        value: &Secret,
        exp: UnixSeconds,
        ahead: i64,
    ) -> Result<(), Trouble> {
        let probe = Probe { client: &self.client, place, cookie: &self.name, with };
        let original = Original { token: value, exp, life: self.seen.token.span, key: key.ring.active(), ahead };
        let found = probe.bisect(&self.jar, &original).await.map_err(|why| away(place, why))?;
        self.seen.renewal = found.renewal;
        self.seen.notes.extend(found.note);
        if let Some(sighting) = found.sighting {
            take(&mut self.seen, &sighting, &format!("GET {}", place.path()), "a renewal", false);
        }
        Ok(())
    }

    async fn watch(&mut self, place: &Url, with: StatusCode, exp: UnixSeconds, ahead: i64, time: Span) -> Result<(), Trouble> {
        let probe = Probe { client: &self.client, place, cookie: &self.name, with };
        let mut renewal = std::mem::take(&mut self.seen.renewal);
        let sighting = probe.watch(&mut self.jar, exp, ahead, &mut renewal, time).await.map_err(|why| away(place, why))?;
        self.seen.renewal = renewal;
        if let Some(sighting) = sighting {
            take(&mut self.seen, &sighting, &format!("GET {}", place.path()), "a renewal", false);
        }
        Ok(())
    }

    /// With the session; every answer may say that slidecar is there.
    async fn ask(&mut self, place: &Url) -> Result<Answer, Trouble> {
        let answer = self.client.send(self.client.get(place, self.jar.field())).await.map_err(|why| away(place, why))?;
        self.seen.has_slidecar |= answer.headers.contains_key("session-policy-version");
        Ok(answer)
    }
}

/// Makes the operator's request, and follows it within the origin. Each answer may set cookies.
async fn log_in(client: &Client, jar: &mut Jar, login: &Login, name: Option<&str>) -> Result<Vec<Answer>, Trouble> {
    let place = client.place(&login.path).ok_or_else(|| Trouble::Usage("--login: write a path of the same host".to_owned()))?;
    let content = login.data.as_ref().map(Secret::expose);
    let kind = |content: &[u8]| {
        if content.trim_ascii_start().starts_with(b"{") { "application/json" } else { "application/x-www-form-urlencoded" }
    };
    let ask =
        Ask { method: login.method.clone(), url: place.clone(), cookies: None, body: content.map(|content| (kind(content), content)) };
    let mut answers = vec![client.send(ask).await.map_err(|why| away(&place, why))?];
    // Many logins answer with a redirect, and some set the cookie on its other side only.
    for _ in 0..5 {
        let Some(last) = answers.last() else { break };
        jar.keep(last);
        let next = last.leads_to().filter(|next| client.is_own(next) && jar.session(name).is_err());
        let Some(next) = next else { break };
        answers.push(client.send(client.get(&next, jar.field())).await.map_err(|why| away(&next, why))?);
    }
    Ok(answers)
}

/// The session's token, its end and its text, if it is alive.
fn current(jar: &Jar, name: &str, now: UnixMillis) -> Result<(Inspected, UnixSeconds, Secret), Trouble> {
    let value = jar.value(name).ok_or_else(|| Trouble::NoSession(format!("the application deleted the cookie {}", printable(name))))?;
    let token = inspect(value.expose(), None, now)
        .map_err(|what| Trouble::NoSession(format!("the cookie {} holds no JWT: {what}", printable(name))))?;
    let Some(exp) = token.expires else {
        return Err(Trouble::NoSession(format!(
            "the token in {} has no exp: it never ends, and there is no clock to compare",
            printable(name)
        )));
    };
    if exp.millis() <= now {
        return Err(Trouble::NoSession(format!(
            "the token in {} expired {} ago; give a live session",
            printable(name),
            short(now.second().since(exp))
        )));
    }
    Ok((token, exp, value.clone()))
}

fn describe(seen: &mut Seen, token: &Inspected, now: UnixMillis) {
    seen.algorithm = token.algorithm.as_deref().map(printable);
    seen.family = token.family.id().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    seen.is_given = token.issued.is_some();
    seen.token = match (token.issued, token.expires) {
        (Some(issued), Some(expires)) => Clock { span: expires.since(issued), how: "exp - iat of the cookie's token".to_owned() },
        // Without iat nobody knows what it was at first.
        (None, Some(expires)) => Clock { span: rounded(now.until(expires)), how: "what is left; it has no iat".to_owned() },
        (_, None) => Clock::default(),
    };
}

/// What a Set-Cookie tells of the clocks. A login's word on them is the first, for a renewal may keep `iat`.
fn take(seen: &mut Seen, sighting: &Sighting, asked: &str, by: &str, is_login: bool) {
    let Ok(token) = inspect(sighting.value.expose(), None, sighting.at) else { return };
    let Some(expires) = token.expires else { return };
    // A renewal may keep iat, and a session that was just begun is young for a while.
    let fresh = if is_login { FRESH } else { AT_ONCE };
    let now = sighting.at.second();
    let is_fresh = token.issued.is_some_and(|issued| now.since(issued) <= fresh && issued.since(now) <= fresh);
    let life = match token.issued.filter(|_| is_fresh) {
        Some(issued) => expires.since(issued),
        None => rounded(sighting.at.until(expires)),
    };
    if is_login || !seen.has_login {
        let how = if is_fresh { format!("exp - iat of {by}'s token") } else { format!("exp of {by}'s token") };
        seen.algorithm = token.algorithm.as_deref().map(printable);
        seen.token = Clock { span: life, how };
        seen.is_given = false;
    } else {
        seen.renewed_life = Some(life);
    }
    if seen.has_login && !is_login {
        seen.renewed_cookie = seen.renewed_cookie.or(sighting.life.map(rounded).filter(|renewed| !close(*renewed, life)));
    } else {
        seen.cookie = match sighting.life {
            Some(life) => CookieClock::Lives(Clock { span: rounded(life), how: format!("{} of {by}'s Set-Cookie", sighting.said_by) }),
            None => CookieClock::Browser(format!("no lifetime in {by}'s Set-Cookie")),
        };
        seen.attributes = Some(sighting.attributes.clone());
    }
    seen.has_login |= is_login;
    if sighting.is_shared && !seen.shared.iter().any(|(known, _)| known == asked) {
        seen.shared.push((asked.to_owned(), sighting.cache_control.clone()));
    }
}

/// Whole seconds, up: part of the first passed on the way.
fn rounded(span: Span) -> Span {
    Span::from_secs(span.plus(Span::from_millis(999)).as_secs())
}

fn no_session(none: NoSession, login: Option<&(Login, Vec<Answer>)>, nobody: &Answer) -> Trouble {
    let list =
        |names: &[String]| if names.is_empty() { "there is none at all".to_owned() } else { format!("there are: {}", names.join(", ")) };
    match (none, login) {
        (NoSession::Several(names), _) => {
            Trouble::Usage(format!("several cookies hold a JWT ({}); say which is the session's: --name {}", names.join(", "), names[0]))
        }
        (NoSession::NoJwt(names), Some((login, answers))) => {
            let status = answers.first().map_or(0, |answer| answer.status.as_u16());
            let words = format!("{} answered {status} and set no cookie that holds a JWT ({})", login.shown(), list(&names));
            let elsewhere = answers.last().and_then(Answer::leads_to).filter(|next| next.origin() != nobody.url.origin());
            let advice = match elsewhere {
                Some(next) => format!("; it leads to another origin, {}", printable(&next.origin().ascii_serialization())),
                None if (400..500).contains(&status) => "; are path and data what the login wants?".to_owned(),
                None => String::new(),
            };
            Trouble::NoSession(words + &advice)
        }
        (NoSession::NoJwt(names), None) => Trouble::NoSession(format!(
            "no cookie that was given holds a JWT ({}); of sessions that are kept on the server, no clock can be seen from outside",
            list(&names)
        )),
    }
}

/// Without its query, which may hold a secret.
fn shown(url: &Url) -> String {
    printable(&url[..url::Position::AfterPath])
}

fn scripts(count: usize) -> String {
    if count == 1 { "1 script".to_owned() } else { format!("{count} scripts") }
}

fn away(place: &Url, why: Unreachable) -> Trouble {
    Trouble::Unreachable(format!("{}: {}", place.origin().ascii_serialization(), printable(&why.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

    #[test]
    fn c_a_renewal_that_keeps_iat_is_measured_from_its_own_moment() {
        let sighting = |iat: i64, exp: i64, now: i64| {
            let claims = format!(r#"{{"iat":{iat},"exp":{exp}}}"#);
            Sighting {
                value: Secret::new(format!("{}.{}.c2ln", BASE64.encode(r#"{"alg":"HS256"}"#), BASE64.encode(claims)).into_bytes()),
                life: Some(Span::from_secs(exp.abs_diff(now))),
                said_by: "Max-Age",
                attributes: super::super::jar::Attributes::default(),
                is_shared: false,
                cache_control: None,
                at: UnixSeconds::new(now).millis(),
            }
        };
        let mut seen = Seen::default();
        take(&mut seen, &sighting(1000, 1040, 1000), "POST /login", "the login", true);
        take(&mut seen, &sighting(1000, 1060, 1020), "GET /", "a renewal", false);
        let forty = Span::from_secs(40);
        assert_eq!((seen.token.span, seen.renewed_life, seen.renewed_cookie), (forty, Some(forty), None));
        take(&mut seen, &sighting(1000, 1080, 1030), "GET /", "a renewal", false);
        assert_eq!(seen.renewed_life, Some(Span::from_secs(50)));
    }
}
