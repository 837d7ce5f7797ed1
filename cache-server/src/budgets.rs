//! Budgets: how often the sources of warmers may be called, by this server or by all over one Redis.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use cache_core::{Clock, Counters};
use cache_memory::MemoryCounters;
use cache_ratelimit::{Budget, Fallback, Plan};

use crate::app::StartError;
use crate::config::BudgetSettings;
use crate::places::Places;

/// Where they are counted in Redis, apart from clients.
const GROUP: &str = "budgets";

pub(crate) type Budgets = BTreeMap<String, Arc<Budget>>;

/// Makes them. While Redis is away, each server goes by the whole of a budget itself.
pub(crate) fn open(
    settings: &BTreeMap<String, BudgetSettings>,
    places: &Places,
    clock: &Arc<dyn Clock>,
) -> Result<Budgets, StartError> {
    let own: Arc<dyn Counters> = Arc::new(MemoryCounters::new());
    let budget = |(name, settings): (&String, &BudgetSettings)| {
        let BudgetSettings { quota, burst } = *settings;
        // A plan's name is part of the program, and these are, for as long as it runs: at most 64 short texts at a start.
        let plan = Plan { burst, ..Plan::single(Box::leak(name.clone().into_boxed_str()), quota) };
        let budget = match places.counters(GROUP) {
            None => Budget::new(plan, Arc::clone(&own)),
            Some(counters) => Budget::new(plan, counters)
                .map(|budget| budget.with_fallback(Fallback::share(Arc::clone(&own), NonZeroU32::MIN))),
        };
        let budget = budget.map_err(StartError::new)?.with_clock(Arc::clone(clock));
        Ok((name.clone(), Arc::new(budget)))
    };
    settings.iter().map(budget).collect()
}

/// The share of the fullest of them that is in use.
pub(crate) async fn used(budgets: &[Arc<Budget>]) -> f64 {
    let mut most = 0.0_f64;
    for budget in budgets {
        most = most.max(budget.used().await);
    }
    most
}
