//! Settings: what an operator may say, where, and what becomes of it.
//!
//! ```text
//! flags ─► environment ─► file ─► profile ─► defaults      the first that names a setting wins
//!     └────────────┴─────────┴────────┴─────────┘
//!       every source yields the same thing: name → text, and where it was said
//!                              │
//!                           resolve     each text is read once, by one parser, with one form of error
//! ```
//!
//! A wrong setting stops the start and names its source, its name, its value and what would be right.

mod clients;
mod cors;
mod defaults;
mod env;
mod error;
mod file;
mod flags;
mod layers;
mod names;
mod places;
mod resolve;
mod settings;
mod show;
pub(crate) mod text;
mod tls;
mod tokens;
mod value;
mod warming;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use cors::Cors;
pub use error::SettingsError;
pub use flags::Flags;
pub use settings::{
    Access, Admin, BudgetSettings, ClientSettings, Counting, DiskSettings, LogFormat, PlaceSettings,
    RegionSettings, Settings, Token, WarmFrom, WarmerSettings, WarmingSettings,
};
pub use tls::Tls;

pub(crate) use defaults::DEFAULT_REGION;
use layers::{Layers, Source};

/// Settings that hold, and what the operator should hear about them.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// What was said and has no effect, one sentence each.
    pub warnings: Vec<String>,
    /// All that holds as a configuration file, each with where it was said. Secrets are hidden.
    pub shown: String,
}

/// Reads all sources and settles what holds.
///
/// # Errors
/// A file that cannot be read, a name that is not known, a value that is not right, or a combination that is not safe.
pub fn load(flags: &Flags, variables: &BTreeMap<String, String>) -> Result<Loaded, SettingsError> {
    let config_variable = format!("{}CONFIG", flags.env_prefix().unwrap_or(names::PREFIX));
    let file = match (flags.config(), variables.get(&config_variable)) {
        (Some(path), _) => file::read(&PathBuf::from(path), "--config")?,
        (None, Some(path)) => file::read(&PathBuf::from(path), &config_variable)?,
        (None, None) => Layers::new(),
    };
    let prefix = prefix(flags, &file)?;
    let found = env::read(variables, &prefix);

    let mut layers = Layers::new();
    layers.overlay(file);
    layers.overlay(found.layers);
    layers.overlay(flags.layers());
    let layers = with_defaults(layers)?;
    Ok(Loaded {
        settings: resolve::resolve(&layers)?,
        warnings: found.warnings,
        shown: show::render(&layers),
    })
}

impl Settings {
    /// Reads settings from the text of a configuration file alone. The empty text gives the defaults.
    ///
    /// ```
    /// let settings = cache_server::Settings::from_toml("max_connections = 64")?;
    /// assert_eq!(settings.max_connections, 64);
    /// assert_eq!(settings.listen.to_string(), "127.0.0.1:7400");
    /// # Ok::<(), cache_server::SettingsError>(())
    /// ```
    ///
    /// # Errors
    /// As [`load`].
    pub fn from_toml(text: &str) -> Result<Self, SettingsError> {
        resolve::resolve(&with_defaults(file::parse(text, "settings")?)?)
    }
}

/// Puts the profile and the defaults under what was said.
fn with_defaults(said: Layers) -> Result<Layers, SettingsError> {
    let mut layers = defaults::layers();
    layers.overlay(defaults::profile(said.get("profile"))?);
    layers.overlay(said);
    Ok(layers)
}

fn prefix(flags: &Flags, file: &Layers) -> Result<String, SettingsError> {
    let (prefix, source) = match (flags.env_prefix(), file.get("env_prefix")) {
        (Some(prefix), _) => (prefix, Source::Flag("--env-prefix".to_owned())),
        (None, Some(given)) => (given.text.as_str(), given.source.clone()),
        (None, None) => return Ok(names::PREFIX.to_owned()),
    };
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if prefix.is_empty() || !prefix.bytes().all(legal) {
        let expected = "letters, digits and underscores, such as MYAPP_";
        return Err(SettingsError::value(&source, "env_prefix", prefix, expected));
    }
    Ok(prefix.to_owned())
}
