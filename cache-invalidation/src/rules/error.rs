//! What is wrong with a rule, or with an event that a rule is about.

use thiserror::Error;

use crate::EventError;

/// Why rules are refused, or an event means nothing. Names the rule, the field, what was given and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RuleError {
    /// A field of a rule is not as it should be.
    #[error("rule {rule}, {field}: {value:?} should be {right}")]
    Wrong {
        /// Its number, from 1 on, and its event.
        rule: String,
        /// Which field.
        field: &'static str,
        /// What was given.
        value: String,
        /// What would be right.
        right: String,
    },
    /// An event does not have what a template needs.
    #[error(
        "rule {rule}, {field}: {template:?} needs the field `{missing}`, which the event does not have; it has {present}"
    )]
    Missing {
        /// Its number, from 1 on, and its event.
        rule: String,
        /// Which field of the rule.
        field: &'static str,
        /// The template.
        template: String,
        /// The field of the event that is missing.
        missing: String,
        /// The fields that it has.
        present: String,
    },
    /// With the fields of this event, a template makes nothing legal. The values are not shown.
    #[error("rule {rule}, {field}: {template:?} with the fields of this event is not legal: {source}")]
    Illegal {
        /// Its number, from 1 on, and its event.
        rule: String,
        /// Which field of the rule.
        field: &'static str,
        /// The template.
        template: String,
        /// Why.
        source: EventError,
    },
    /// A file of rules cannot be read.
    #[error("the rules cannot be read: {reason}")]
    File {
        /// Why, and where.
        reason: String,
    },
}
