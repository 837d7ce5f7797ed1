//! What holds if nothing is said, and the profiles: sets of figures, most of them for the regions `token` and `report`.

use super::error::SettingsError;
use super::layers::{Given, Layers, Source};
use super::names::{SPECS, nearest};

/// The region that requests without a region go to.
pub(crate) const DEFAULT_REGION: &str = "default";

type Figures = &'static [(&'static str, &'static str)];

/// The regions of a server that was told nothing. What they leave out is every region's default.
const REGIONS: Figures = &[
    ("region.default.ttl", "forever"),
    ("region.token.max_entries", "10000"),
    ("region.token.ttl", "3600"),
    ("region.report.max_entries", "1000"),
    ("region.report.ttl", "3600"),
];

const PROFILES: &[(&str, Figures)] = &[
    (
        "high-volume",
        &[
            ("region.token.max_entries", "50000"),
            ("region.token.ttl", "300"),
            ("region.report.max_entries", "5000"),
            ("region.report.ttl", "1800"),
        ],
    ),
    (
        "low-memory",
        &[
            ("region.token.max_entries", "1000"),
            ("region.report.max_entries", "100"),
            ("enable_compression", "true"),
        ],
    ),
    (
        "ultra-fast",
        &[
            ("region.token.max_entries", "100000"),
            ("region.token.ttl", "7200"),
            ("region.report.ttl", "7200"),
        ],
    ),
];

pub(super) fn layers() -> Layers {
    let set = SPECS.iter().filter(|spec| !spec.default.is_empty()).map(|spec| (spec.name, spec.default));
    collect(set.chain(REGIONS.iter().copied()), &Source::Default)
}

/// The figures of the profile that was asked for, if one was.
pub(super) fn profile(asked: Option<&Given>) -> Result<Layers, SettingsError> {
    let Some(Given { text, source }) = asked else { return Ok(Layers::new()) };
    let found = PROFILES.iter().find(|(name, _)| name == text);
    let Some((name, figures)) = found else {
        let names: Vec<&str> = PROFILES.iter().map(|(name, _)| *name).collect();
        let hint = nearest(text, &names).map(|near| format!(" (did you mean {near}?)"));
        let expected = format!("{}{}", names.join(", "), hint.unwrap_or_default());
        return Err(SettingsError::value(source, "profile", text, &expected));
    };
    Ok(collect(figures.iter().copied(), &Source::Profile((*name).to_owned())))
}

fn collect<'a>(figures: impl Iterator<Item = (&'a str, &'a str)>, source: &Source) -> Layers {
    let mut layers = Layers::new();
    for (name, text) in figures {
        layers.set(name, text, source.clone());
    }
    layers
}
