//! The whole story: the figures, what they mean, what can be done, and what the last minutes were like.

use schemars::JsonSchema;
use serde::Serialize;

use super::findings::{self, Finding, Severity};
use super::history::{Moment, Stretch};
use super::snapshot::Snapshot;
use super::source::Source;

/// What the page shows, and `GET /v1/stats` answers.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct Report {
    pub(crate) stats: Snapshot,
    /// What matters most first.
    pub(crate) insights: Vec<Finding>,
    pub(crate) recommendations: Vec<Recommendation>,
    /// The last five minutes, the latest stretch last.
    pub(crate) history: Vec<Stretch>,
}

/// What can be done about a finding.
#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize)]
pub(crate) struct Recommendation {
    /// The finding's.
    pub(crate) kind: &'static str,
    pub(crate) severity: Severity,
    pub(crate) region: Option<String>,
    /// The setting, or the request, that changes it.
    pub(crate) setting: String,
    pub(crate) text: String,
    /// The figure behind it.
    pub(crate) number: f64,
    pub(crate) unit: &'static str,
}

impl Report {
    /// Gathers everything, as [`Snapshot::of`].
    pub(crate) fn of(app: &dyn Source) -> Self {
        app.history().note(app);
        let now = Moment::now(app);
        let stats = Snapshot::at(app, &now);
        let insights = findings::findings(&stats);
        let recommendations = insights.iter().filter_map(Recommendation::of).collect();
        Self { history: app.history().stretches(&now), stats, insights, recommendations }
    }
}

impl Recommendation {
    fn of(finding: &Finding) -> Option<Self> {
        let advice = finding.advice.as_ref()?;
        Some(Self {
            kind: finding.kind,
            severity: finding.severity,
            region: finding.region.clone(),
            setting: advice.setting.clone(),
            text: advice.text.clone(),
            number: finding.number,
            unit: finding.unit,
        })
    }
}
