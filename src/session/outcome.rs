//! The closed vocabulary of what can happen to a request's session. Log lines, counters and documents use these words.

/// What was decided and why: one per request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// No session cookie came with the request, and none was set.
    Anonymous,
    /// A cookie that is none of ours went on untouched.
    Passed(Foreign),
    /// A dead cookie was removed before the request went on.
    Stripped(Dead),
    /// A protected path was asked for without a session, or sessions cannot be judged for now.
    Refused(Refused),
    /// The session went on as it was.
    Kept(Kept),
    /// The session got a later end.
    Renewed(Renewed),
    /// The backend began a session.
    Login(Login),
    /// The backend ended the session, or put something else in its place.
    Logout(Logout),
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$word_doc])* $variant),+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

words! {
    /// Why a cookie is none of ours.
    Foreign {
        NoJwt = "no_jwt",
        MissingExp = "missing_exp",
        UnusableTime = "unusable_time",
        WrongIssuer = "wrong_issuer",
        WrongAudience = "wrong_audience",
        NotSession = "not_session",
    }
}

words! {
    /// Why a cookie is dead.
    Dead {
        Unverified = "unverified",
        TooLong = "too_long",
        NotYetValid = "not_yet_valid",
        Expired = "expired",
        Revoked = "revoked",
        Tombstoned = "tombstoned",
    }
}

words! {
    /// What stood in place of the session that a protected path needs; or why a session could not be let in anywhere.
    Refused {
        NoSession = "no_session",
        NotOurs = "not_ours",
        Dead = "dead",
        /// Nobody knows what was revoked: the store has been lost for longer than `SESSION_STORE_GRACE`.
        StoreLost = "store_lost",
    }
}

words! {
    /// Why a session was not renewed on this answer.
    Kept {
        Passive = "passive",
        NotDue = "not_due",
        /// The backend set C itself: ours is never added beside it.
        BackendCookie = "backend_cookie",
        /// Logged out or revoked while the answer was on its way.
        Revoked = "revoked",
        Status = "status",
        ExpiredInFlight = "expired_in_flight",
        Cacheable = "cacheable",
        NoGain = "no_gain",
        /// An absolute timeout is set and the token does not say when it began.
        NoOrigin = "no_origin",
        /// The backend refuses renewed tokens.
        Paused = "paused",
        /// The request carried two different sessions.
        Ambiguous = "ambiguous",
        TooLong = "too_long",
        SignFailed = "sign_failed",
    }
}

words! {
    /// What made the renewal due.
    Renewed {
        Threshold = "threshold",
        /// The token outlived the policy and was shortened to it.
        Clamp = "clamp",
        /// The token was signed with the previous key.
        Rekey = "rekey",
    }
}

words! {
    /// How a session began.
    Login {
        New = "new",
        /// Its token outlived the policy and was shortened to it.
        Clamped = "clamped",
        /// A late answer brought back a session that was logged out; its tombstone stays.
        Late = "late",
    }
}

words! {
    /// How a session ended.
    Logout {
        /// The backend deleted C.
        Deleted = "deleted",
        /// A logout path answered, or `Clear-Site-Data`.
        Declared = "declared",
        /// C was replaced by something that is no session.
        Replaced = "replaced",
        /// C was replaced by another session.
        Switched = "switched",
    }
}

impl Outcome {
    #[must_use]
    pub const fn decision(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Passed(_) => "passed",
            Self::Stripped(_) => "stripped",
            Self::Refused(_) => "refused",
            Self::Kept(_) => "kept",
            Self::Renewed(_) => "renewed",
            Self::Login(_) => "login",
            Self::Logout(_) => "logout",
        }
    }

    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Anonymous => "no_cookie",
            Self::Passed(why) => why.word(),
            Self::Stripped(why) => why.word(),
            Self::Refused(why) => why.word(),
            Self::Kept(why) => why.word(),
            Self::Renewed(why) => why.word(),
            Self::Login(why) => why.word(),
            Self::Logout(why) => why.word(),
        }
    }

    /// Every outcome there is, so that counters exist before the first request.
    #[must_use]
    pub fn all() -> Vec<Self> {
        fn each<T: Copy>(reasons: &'static [T], outcome: fn(T) -> Outcome) -> impl Iterator<Item = Outcome> {
            reasons.iter().map(move |reason| outcome(*reason))
        }
        std::iter::once(Self::Anonymous)
            .chain(each(Foreign::ALL, Self::Passed))
            .chain(each(Dead::ALL, Self::Stripped))
            .chain(each(Refused::ALL, Self::Refused))
            .chain(each(Kept::ALL, Self::Kept))
            .chain(each(Renewed::ALL, Self::Renewed))
            .chain(each(Login::ALL, Self::Login))
            .chain(each(Logout::ALL, Self::Logout))
            .collect()
    }
}

words! {
    /// What an operator should hear about beyond the outcome, in a word.
    EventKind {
        /// The backend's token outlived the policy.
        TtlMismatch = "session_ttl_mismatch",
        /// A token that none of our keys verifies, where one should.
        TokenUnverified = "session_token_unverified",
        /// A token of our key that is no session.
        TokenUnusable = "session_token_unusable",
        /// The backend set C with a lifetime, and its token does not say one.
        MaxAgeFallback = "cookie_maxage_fallback",
        /// An absolute timeout is set and the token does not say when the session began.
        NoOrigin = "no_origin",
        /// A companion cookie that is not by our key for this session.
        CompanionRejected = "companion_rejected",
        /// Another cookie than C holds a session.
        CookieMisnamed = "session_cookie_misnamed",
        /// The backend refused tokens that were renewed.
        RenewedRejected = "renewed_tokens_rejected",
    }
}

/// What the rules have to say beyond the outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Both in seconds from now.
    TtlMismatch {
        token_seconds: u64,
        policy_seconds: u64,
    },
    /// The backend set it.
    TokenUnverified,
    TokenUnusable(Foreign),
    MaxAgeFallback(Fallback),
    NoOrigin,
    CompanionRejected,
}

impl Event {
    #[must_use]
    pub const fn kind(&self) -> EventKind {
        match self {
            Self::TtlMismatch { .. } => EventKind::TtlMismatch,
            Self::TokenUnverified => EventKind::TokenUnverified,
            Self::TokenUnusable(_) => EventKind::TokenUnusable,
            Self::MaxAgeFallback(_) => EventKind::MaxAgeFallback,
            Self::NoOrigin => EventKind::NoOrigin,
            Self::CompanionRejected => EventKind::CompanionRejected,
        }
    }
}

words! {
    /// Why a cookie's lifetime could not be taken from its token.
    Fallback {
        MissingExp = "missing_exp",
        Expired = "expired",
        DecodeFailed = "decode_failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn o1_every_outcome_has_words_of_its_own() {
        let all = Outcome::all();
        let words: HashSet<_> = all.iter().map(|outcome| (outcome.decision(), outcome.reason())).collect();
        assert_eq!(words.len(), all.len());
        assert!(
            words
                .iter()
                .all(|(decision, reason)| [decision, reason].iter().all(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')))
        );
    }
}
