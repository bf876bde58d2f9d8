//! A renewal of our own: whether it may go with this answer (a chain of reasons), and the line that carries it.

use super::Settling;
use crate::session::decide::{Due, Live};
use crate::session::effect::Effect;
use crate::session::mint::{MintError, Minted, mint, renewed_exp};
use crate::session::outcome::{Event, Kept, Outcome, Renewed};
use crate::session::time::Span;
use crate::session::token::SessionToken;

/// An answer may be this late for a token that was handed off with little life left.
const HAND_OFF_GRACE: Span = Span::from_secs(10);
/// Renewals that win less are not worth a cookie.
const LEAST_GAIN: Span = Span::from_secs(60);

impl Settling<'_> {
    /// One `Set-Cookie` of our own, where the chain of reasons lets it pass.
    pub(super) fn renew(&mut self, live: &Live) {
        match self.renewal(live) {
            Ok((minted, why)) => {
                let age = live.persistent.then(|| self.now.until(minted.exp));
                let line = live.attributes.line(&self.rules.cookie.name, &minted.text, age);
                self.add_line(line);
                self.out.outcome = Outcome::Renewed(why);
                self.end = Some(minted.exp);
                self.out.effects.push(Effect::Renew { family: live.token.family, exp: minted.exp });
                self.renew_companion(live, minted.exp);
            }
            Err(why) => {
                if why == Kept::NoOrigin {
                    self.out.events.push(Event::NoOrigin);
                }
                self.out.outcome = Outcome::Kept(why);
            }
        }
    }

    /// The chain of SPEC §5, but for what the backend did to C.
    pub(super) fn renewal(&self, live: &Live) -> Result<(Minted, Renewed), Kept> {
        let Due::Yes(why) = live.due else {
            return Err(live.due.kept());
        };
        let token = &live.token;
        let remaining = token.remaining(self.now);
        let clocks = self.rules.policy.clocks(token.class);
        let nearly_over = remaining < clocks.threshold.divided_by(4);
        if self.around.ended.superseded(&token.family, self.verdict.now) {
            return Err(Kept::Revoked);
        }
        if self.around.ended.ended(&token.family, token.subject.as_ref(), token.origin, self.now).is_some() {
            return Err(Kept::Revoked);
        }
        if self.facts.own || matches!(self.facts.status, 101 | 401 | 407 | 500..) || (self.facts.status == 304 && !nearly_over) {
            return Err(Kept::Status);
        }
        let grace = if live.handed_off.is_some() { HAND_OFF_GRACE } else { Span::ZERO };
        if self.now >= token.effective_exp().millis().plus(grace) {
            return Err(Kept::ExpiredInFlight);
        }
        if self.facts.cache.is_shared_storable(self.now) && !nearly_over {
            return Err(Kept::Cacheable);
        }
        let exp = renewed_exp(self.rules, token, self.now).map_err(kept)?;
        if exp.millis() <= self.now {
            return Err(Kept::ExpiredInFlight);
        }
        let least = LEAST_GAIN.min(clocks.ttl.minus(clocks.threshold).divided_by(10));
        if why == Renewed::Threshold && exp.since(token.effective_exp()) < least {
            return Err(Kept::NoGain);
        }
        self.minted(token).map(|minted| (minted, why)).map_err(kept)
    }

    pub(super) fn minted(&self, token: &SessionToken) -> Result<Minted, MintError> {
        mint(self.rules, self.around.signer, token, renewed_exp(self.rules, token, self.now)?, self.now)
    }
}

const fn kept(error: MintError) -> Kept {
    match error {
        MintError::NoOrigin => Kept::NoOrigin,
        MintError::TooLong => Kept::TooLong,
        MintError::Failed => Kept::SignFailed,
    }
}
