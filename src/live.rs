//! What may change while the program runs: the rules with their keys and clocks, and the certificate. They are swapped as
//! one, so that nothing of one generation is ever used beside anything of another; a request keeps, from its head to its
//! answer, the one that it began with.

use crate::session::Rules;
use crate::session::keys::Secret;
use arc_swap::ArcSwap;
use http::HeaderValue;
use rustls::ServerConfig;
use serde::Serialize;
use std::sync::{Arc, PoisonError, RwLock};

/// One consistent set.
#[derive(Debug)]
pub struct Generation {
    /// Counts from 1. What is remembered of tokens and signatures holds for one number.
    pub number: u64,
    pub rules: Arc<Rules>,
    /// As every answer to a session says it.
    pub policy_version: HeaderValue,
    /// Present where clients speak TLS.
    pub tls: Option<Arc<ServerConfig>>,
    /// What is asked of whoever revokes.
    pub admin_token: Option<Secret>,
    /// Every setting, for people.
    pub settings: Vec<Stated>,
}

/// A setting as an operator may see it: no secret.
#[derive(Clone, Debug, Serialize)]
pub struct Stated {
    pub name: &'static str,
    pub value: String,
    pub source: String,
}

/// What a generation is made of.
#[derive(Debug)]
pub struct Parts {
    pub rules: Arc<Rules>,
    pub tls: Option<Arc<ServerConfig>>,
    pub admin_token: Option<Secret>,
    pub settings: Vec<Stated>,
}

/// The set that holds now.
#[derive(Debug)]
pub struct Live {
    current: ArcSwap<Generation>,
    /// Why what was meant to replace it does not.
    complaint: RwLock<Option<String>>,
}

impl Live {
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self { current: ArcSwap::from_pointee(Generation::new(1, parts)), complaint: RwLock::default() }
    }

    #[must_use]
    pub fn current(&self) -> Arc<Generation> {
        self.current.load_full()
    }

    /// The next generation, from the next request on. Only one caller may do this at a time.
    pub fn replace(&self, parts: Parts) -> Arc<Generation> {
        let next = Arc::new(Generation::new(self.current().number + 1, parts));
        self.current.store(Arc::clone(&next));
        self.complain(None);
        next
    }

    /// Says why the files that were changed are not taken up; `None` when that is over.
    pub fn complain(&self, complaint: Option<String>) {
        *self.complaint.write().unwrap_or_else(PoisonError::into_inner) = complaint;
    }

    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        self.complaint.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Generation {
    fn new(number: u64, Parts { rules, tls, admin_token, settings }: Parts) -> Self {
        let policy_version = HeaderValue::from_str(rules.policy.version()).unwrap_or_else(|_| HeaderValue::from_static(""));
        Self { number, rules, policy_version, tls, admin_token, settings }
    }
}
