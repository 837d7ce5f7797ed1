//! Tokens of which the settings hold the digest alone: `[tokens.NAME]` with `role`, `sha256` and, where it is not that of the role, `class`.

use std::collections::BTreeSet;

use super::clients;
use super::error::SettingsError;
use super::layers::{Layers, Source};
use super::resolve::optional;
use super::settings::Access;
use super::value::Read;
use crate::role::Role;

const MAX_NAME_BYTES: usize = 64;

pub(super) fn read(layers: &Layers) -> Result<Vec<Access>, SettingsError> {
    let mut names = BTreeSet::new();
    for (name, given) in layers.below("tokens") {
        let name = name.rsplit_once('.').map_or(name, |(name, _)| name);
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(legal) {
            let message =
                format!("tokens: {name:?} is not a name: expected 1 to 64 letters, digits, _ and -");
            return Err(SettingsError::new(&given.source, message));
        }
        names.insert((name, &given.source));
    }
    let mut seen = BTreeSet::new();
    let firsts = names.into_iter().filter(|(name, _)| seen.insert(*name));
    firsts.map(|(name, source)| access(layers, name, source)).collect()
}

fn access(layers: &Layers, name: &str, source: &Source) -> Result<Access, SettingsError> {
    let field = |field: &str| format!("tokens.{name}.{field}");
    let missing = |name: &str, right: &str| SettingsError::new(source, format!("{name} is missing: {right}"));
    let (role_name, digest_name) = (field("role"), field("sha256"));
    let role = optional(layers, &role_name, role)?;
    let class = optional(layers, &field("class"), clients::class)?;
    let digest = optional(layers, &digest_name, digest)?;
    let role = role.ok_or_else(|| missing(&role_name, "read, write or admin"))?;
    Ok(Access {
        name: name.to_owned(),
        role,
        class: class.unwrap_or_else(|| clients::class_of(role)),
        digest: digest.ok_or_else(|| missing(&digest_name, HOW))?,
    })
}

fn role(text: &str) -> Read<Role> {
    text.parse().map_err(|()| "read, write or admin".to_owned())
}

const HOW: &str = "64 hexadecimal digits, as of: printf %s \"$TOKEN\" | sha256sum";

fn digest(text: &str) -> Read<[u8; 32]> {
    let pairs: Vec<&[u8]> = text.as_bytes().chunks(2).collect();
    let byte = |pair: &&[u8]| {
        let digits = std::str::from_utf8(pair).ok().filter(|digits| digits.len() == 2)?;
        let is_hexadecimal = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        u8::from_str_radix(digits, 16).ok().filter(|_| is_hexadecimal)
    };
    let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| HOW.to_owned())
}
