//! The cookies of our own beside C: what the browser carries for us (rule K6, L1).

use super::Settling;
use super::lines::Started;
use crate::session::attributes::Attributes;
use crate::session::companion::{Companion, Tombstones};
use crate::session::decide::Live;
use crate::session::family::Family;
use crate::session::time::{Span, UnixSeconds};
use crate::session::token::SessionToken;

impl Settling<'_> {
    /// A line of ours is one person's as much as C is.
    pub(super) fn add_line(&mut self, line: Vec<u8>) {
        self.out.added.push(line);
        self.out.uncacheable = true;
    }

    /// `ended` is the session that the list is written for, if it is for one.
    pub(super) fn add_tombstones(&mut self, tombstones: &Tombstones, attributes: &Attributes, ended: Option<&SessionToken>) {
        let age = if tombstones.is_empty() { Span::ZERO } else { self.memory_of(ended) };
        let name = self.rules.cookie.tombstones_name();
        self.add_line(attributes.for_tombstones().line(name, &tombstones.encode(), Some(age)));
    }

    /// Rule K6: a companion is only needed where the settings do not already say how C is set.
    pub(super) fn set_companion(&mut self, started: &Started) {
        let is_told = started.companion.persistent && started.companion.attributes.equivalent(&self.verdict.configured);
        if !is_told {
            self.add_companion(&started.companion, &started.family, started.end);
        } else if self.verdict.has_companion {
            self.delete_companion();
        }
    }

    pub(super) fn renew_companion(&mut self, live: &Live, end: UnixSeconds) {
        if live.from_companion {
            let companion = Companion { attributes: live.attributes.clone(), persistent: live.persistent };
            self.add_companion(&companion, &live.token.family, end);
        }
    }

    pub(super) fn delete_companion(&mut self) {
        let name = self.rules.cookie.companion_name();
        self.add_line(self.expected().for_companion().line(name, b"", Some(Span::ZERO)));
    }

    fn add_companion(&mut self, companion: &Companion, family: &Family, end: UnixSeconds) {
        let age = companion.persistent.then(|| self.now.until(end));
        let value = companion.encode(family, &self.rules.keys);
        self.add_line(companion.attributes.for_companion().line(self.rules.cookie.companion_name(), &value, age));
    }
}
