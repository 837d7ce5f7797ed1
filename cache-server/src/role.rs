//! Roles: what a token is good for, and what a route asks for.
//!
//! ```text
//! read   what is stored and how it does            GET, HEAD, get-many
//! write  and what is stored: one entry or a group  PUT, PATCH, DELETE and POST of entries, tags, prefixes
//! admin  and the server itself                     regions, configuration, whole regions out, in or gone
//! ```

use std::fmt;
use std::str::FromStr;

use axum::http::Method;

/// What whoever has a token may do. Each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Read what is stored, and all figures.
    Read,
    /// Change what is stored.
    Write,
    /// Everything.
    Admin,
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Admin];

    /// The name in settings and errors.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    /// What a request needs that asks for this route; of a route that there is not, the least.
    pub(crate) fn needed(method: &Method, route: Option<&str>) -> Self {
        let Some(route) = route else { return Self::Read };
        let below = |base: &str| route.strip_prefix(base);
        let of_region = below("/v1/regions/{region}").or_else(|| below("/v1"));
        let of_earlier = below("/api/v1/enhanced-cache");
        let is_admin = |rest: &str| ADMIN.contains(&rest);
        match (of_region, of_earlier) {
            // The region itself: its parts begin with a slash.
            (Some(""), _) if !method.is_safe() => Self::Admin,
            (Some(rest), _) | (_, Some(rest)) if is_admin(rest) => Self::Admin,
            (Some("/get-many"), _) => Self::Read,
            _ if ADMIN_ELSEWHERE.contains(&route) => Self::Admin,
            _ if method.is_safe() => Self::Read,
            _ => Self::Write,
        }
    }
}

/// Routes of a region that concern all of it, or the server.
const ADMIN: [&str; 7] =
    ["/clear", "/clear-all", "/export", "/import", "/configure", "/benchmark", "/warming/trigger"];

/// The same under names of earlier systems.
const ADMIN_ELSEWHERE: [&str; 2] = ["/api/cache/clear", "/cache/warming/trigger"];

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_needs_what_it_does() {
        let needs = |method: &str, route: &str| Role::needed(&method.parse().expect("a method"), Some(route));
        for base in ["/v1", "/v1/regions/{region}"] {
            let route = |rest: &str| needs("POST", &format!("{base}{rest}"));
            assert_eq!(needs("GET", &format!("{base}/entries/{{key}}")), Role::Read);
            assert_eq!(needs("HEAD", &format!("{base}/entries/{{key}}")), Role::Read);
            assert_eq!(needs("PUT", &format!("{base}/entries/{{key}}")), Role::Write);
            assert_eq!(needs("DELETE", &format!("{base}/tags/{{tag}}")), Role::Write);
            assert_eq!(needs("GET", &format!("{base}/export")), Role::Admin);
            assert_eq!((route("/get-many"), route("/set-many")), (Role::Read, Role::Write));
            assert_eq!((route("/clear"), route("/import")), (Role::Admin, Role::Admin));
        }
        assert_eq!(needs("GET", "/v1/regions/{region}"), Role::Read);
        assert_eq!(needs("PUT", "/v1/regions/{region}"), Role::Admin);
        assert_eq!(needs("DELETE", "/v1/regions/{region}"), Role::Admin);
        assert_eq!(needs("POST", "/v1/clear-all"), Role::Admin);
        assert_eq!(needs("GET", "/metrics"), Role::Read);
        assert_eq!(needs("POST", "/cache/invalidate"), Role::Write);
        assert_eq!(needs("POST", "/api/v1/enhanced-cache/set"), Role::Write);
        assert_eq!(needs("POST", "/api/v1/enhanced-cache/configure"), Role::Admin);
        assert_eq!(needs("POST", "/api/cache/clear"), Role::Admin);
        assert_eq!(Role::needed(&Method::POST, None), Role::Read);
    }
}
