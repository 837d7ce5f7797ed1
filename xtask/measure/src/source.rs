//! Where requests come from: traces, one after another, or a generated workload; to the tools, one stream.

use std::iter;
use std::num::NonZeroU32;
use std::path::PathBuf;

use cache_testkit::load::{Shape, Workload};
use cache_testkit::trace::Trace;
use clap::value_parser;

use crate::Outcome;

/// The sources on the command line.
#[derive(Debug, clap::Args)]
pub(crate) struct SourceArgs {
    #[command(flatten)]
    input: Input,
    /// How many keys the workload has
    #[arg(long, value_name = "N", default_value = "100000", conflicts_with = "trace")]
    keys: NonZeroU32,
    /// The exponent of a zipf or mix: 0 is uniform, the web has about 1
    #[arg(long, value_name = "S", default_value = "1", conflicts_with = "trace")]
    skew: f64,
    /// Another seed gives another sequence of the same kind
    #[arg(long, value_name = "N", default_value = "0", conflicts_with = "trace")]
    seed: u64,
    /// Ends after so many requests [default: the whole trace, a million of a workload]
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    requests: Option<u64>,
    /// The size of every value [default: those of the trace, else 100]
    #[arg(long, value_name = "N")]
    value_bytes: Option<u32>,
}

#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct Input {
    /// A trace file; several are replayed one after another, each with its own keys
    #[arg(long, value_name = "FILE")]
    trace: Vec<PathBuf>,
    /// A generated sequence: zipf, uniform, scan, loop, burst or mix
    #[arg(long, value_name = "SHAPE")]
    workload: Option<Shape>,
}

/// One request, ready to be put to a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) key: u64,
    pub(crate) value_bytes: u32,
}

/// A finite stream of requests that can be walked again and again.
#[derive(Debug)]
pub(crate) struct Source {
    kind: Kind,
    most: Option<u64>,
    value_bytes: Option<u32>,
}

#[derive(Debug)]
enum Kind {
    Traces(Vec<Trace>),
    Workload(Workload),
}

impl Source {
    /// Reads the traces, checks the workload.
    pub(crate) fn open(args: &SourceArgs) -> Outcome<Self> {
        let mut most = args.requests;
        let kind = if let Some(shape) = args.input.workload {
            most = most.or(Some(DEFAULT_REQUESTS));
            Kind::Workload(Workload::new(shape, args.keys).with_skew(args.skew)?.with_seed(args.seed))
        } else {
            Kind::Traces(args.input.trace.iter().map(Trace::open).collect::<Result<_, _>>()?)
        };
        Ok(Self { kind, most, value_bytes: args.value_bytes })
    }

    /// What it is, in a line: a workload's line replays it.
    pub(crate) fn name(&self) -> String {
        match &self.kind {
            Kind::Traces(traces) => traces.iter().map(Trace::name).collect::<Vec<_>>().join("+"),
            Kind::Workload(workload) => workload.to_string(),
        }
    }

    /// How many different keys there are.
    pub(crate) fn unique(&self) -> u64 {
        match &self.kind {
            Kind::Traces(traces) => traces.iter().map(|trace| u64::from(trace.unique())).sum(),
            Kind::Workload(workload) => workload.keys().get().into(),
        }
    }

    /// How many requests there are.
    pub(crate) fn len(&self) -> u64 {
        let all = match &self.kind {
            Kind::Traces(traces) => traces.iter().map(|trace| trace.len() as u64).sum(),
            Kind::Workload(workload) => workload.length().unwrap_or(u64::MAX),
        };
        all.min(self.most.unwrap_or(u64::MAX))
    }

    /// The requests, from the first one.
    pub(crate) fn accesses(&self) -> Box<dyn Iterator<Item = Access> + Send + '_> {
        let all: Box<dyn Iterator<Item = Access> + Send + '_> = match &self.kind {
            Kind::Traces(traces) => Box::new(one_after_another(traces)),
            Kind::Workload(workload) => {
                Box::new(workload.ids().map(|id| Access { key: id.into(), value_bytes: DEFAULT_VALUE_BYTES }))
            }
        };
        let most = usize::try_from(self.len()).unwrap_or(usize::MAX);
        let value_bytes = self.value_bytes;
        Box::new(
            all.take(most).map(move |access| Access {
                value_bytes: value_bytes.unwrap_or(access.value_bytes),
                ..access
            }),
        )
    }
}

/// The requests of all traces; the keys of each begin where those of the one before it end.
fn one_after_another(traces: &[Trace]) -> impl Iterator<Item = Access> + Send {
    let starts = traces.iter().scan(0, |next, trace| {
        let start = *next;
        *next += u64::from(trace.unique());
        Some(start)
    });
    iter::zip(starts, traces).flat_map(|(start, trace)| {
        trace.requests().map(move |request| Access {
            key: start + u64::from(request.key),
            value_bytes: request.size.unwrap_or(DEFAULT_VALUE_BYTES),
        })
    })
}

const DEFAULT_REQUESTS: u64 = 1_000_000;
const DEFAULT_VALUE_BYTES: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn traces() -> Source {
        let sized = Trace::new("b", [7, 8]).with_sizes(|_| 5);
        Source { kind: Kind::Traces(vec![Trace::new("a", [1, 2, 1]), sized]), most: None, value_bytes: None }
    }

    #[test]
    fn traces_follow_one_another_with_their_own_keys_and_sizes() {
        let source = traces();
        let accesses: Vec<_> = source.accesses().map(|access| (access.key, access.value_bytes)).collect();
        assert_eq!(accesses, [(0, 100), (1, 100), (0, 100), (2, 5), (3, 5)]);
        assert_eq!((source.name(), source.len(), source.unique()), ("a+b".to_owned(), 5, 4));
    }

    #[test]
    fn the_user_limits_requests_and_sets_sizes() {
        let source = Source { most: Some(4), value_bytes: Some(9), ..traces() };
        assert_eq!(source.len(), 4);
        assert_eq!(source.accesses().count(), 4);
        assert!(source.accesses().all(|access| access.value_bytes == 9));
    }
}
