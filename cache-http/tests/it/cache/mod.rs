//! The cache of responses: what RFC 9111 asks of one that many share, rule by rule, and what it must never do.

mod bodies;
mod flights;
mod freshness;
mod groups;
mod keeping;
mod methods;
mod poison;
mod requests;
mod site;
mod stale;
mod tiers;
mod validation;
mod vary;
