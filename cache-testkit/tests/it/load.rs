//! Generated workloads: the right distribution, in range, and the same again from the same line.

use std::num::NonZeroU32;

use cache_testkit::load::{Shape, Workload};
use proptest::prelude::*;

fn workload(shape: Shape, keys: u32, skew: f64, seed: u64) -> Workload {
    Workload::new(shape, NonZeroU32::new(keys).unwrap()).with_skew(skew).unwrap().with_seed(seed)
}

/// Exact probabilities of a Zipf, summed over the keys of each bin; a bin ends before the key that starts the next.
fn exact(keys: u32, skew: f64, starts: &[u32]) -> Vec<f64> {
    let mut weights = vec![0.0; starts.len()];
    let mut bin = 0;
    for key in 0..keys {
        while starts.get(bin + 1).is_some_and(|&start| start <= key) {
            bin += 1;
        }
        weights[bin] += f64::from(key + 1).powf(-skew);
    }
    let total: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / total).collect()
}

/// Pearson's chi-square of `draws` ids against `expected`, in standard deviations above its mean.
fn deviation(ids: impl Iterator<Item = u32>, starts: &[u32], expected: &[f64], draws: u32) -> f64 {
    let mut counts = vec![0_u32; starts.len()];
    for id in ids.take(draws as usize) {
        counts[starts.partition_point(|&start| start <= id) - 1] += 1;
    }
    let (mut chi_square, mut bins) = (0.0, 0.0);
    for (&count, &share) in counts.iter().zip(expected) {
        let mean = share * f64::from(draws);
        // Below a handful of expected draws the approximation does not hold: such a bin must simply stay small.
        if mean < 5.0 {
            assert!(f64::from(count) < 30.0, "{count} draws where {mean} are expected");
            continue;
        }
        chi_square += (f64::from(count) - mean).powi(2) / mean;
        bins += 1.0;
    }
    let freedom: f64 = bins - 1.0;
    (chi_square - freedom) / (2.0 * freedom).sqrt()
}

#[test]
fn zipf_has_the_exact_probabilities() {
    let starts: Vec<u32> = (0..100).collect();
    for skew in [0.0, 0.3, 0.8, 0.99, 1.0, 1.000_001, 1.2, 2.0, 5.0] {
        let expected = exact(100, skew, &starts);
        let deviation = deviation(workload(Shape::Zipf, 100, skew, 42).ids(), &starts, &expected, 400_000);
        assert!(deviation.abs() < 4.0, "skew {skew}: {deviation} standard deviations");
    }
}

#[test]
fn zipf_is_exact_with_ten_million_keys() {
    const KEYS: u32 = 10_000_000;
    let starts: Vec<u32> = (0..30).chain((5..23).map(|bits| 1 << bits)).collect();
    for skew in [0.7, 1.0, 1.3] {
        let expected = exact(KEYS, skew, &starts);
        let deviation = deviation(workload(Shape::Zipf, KEYS, skew, 1).ids(), &starts, &expected, 400_000);
        assert!(deviation.abs() < 4.0, "skew {skew}: {deviation} standard deviations");
    }
}

#[test]
fn uniform_is_uniform() {
    let starts: Vec<u32> = (0..100).map(|bin| bin * 7).collect();
    let ids = workload(Shape::Uniform, 700, 1.0, 3).ids();
    let deviation = deviation(ids, &starts, &[0.01; 100], 200_000);
    assert!(deviation.abs() < 4.0, "{deviation} standard deviations");
}

#[test]
fn a_scan_ends_and_a_loop_does_not() {
    let scan: Vec<u32> = workload(Shape::Scan, 4, 1.0, 0).ids().collect();
    assert_eq!(scan, [0, 1, 2, 3]);
    let laps: Vec<u32> = workload(Shape::Loop, 3, 1.0, 0).ids().take(7).collect();
    assert_eq!(laps, [0, 1, 2, 0, 1, 2, 0]);
}

#[test]
fn the_hot_set_of_a_burst_is_small_and_jumps() {
    let ids: Vec<u32> = workload(Shape::Burst, 10_000, 1.0, 9).ids().take(40_000).collect();
    let hottest: Vec<u32> = ids.chunks(10_000).map(|lap| hot_start(lap, 10_000, 100)).collect();
    assert!(hottest.windows(2).all(|pair| pair[0].abs_diff(pair[1]) > 100), "{hottest:?}");
}

/// Where the `width` neighbouring keys begin that get 90 % of the requests; fails if there are none.
fn hot_start(ids: &[u32], keys: u32, width: u32) -> u32 {
    let mut counts = vec![0_u32; keys as usize];
    for &id in ids {
        counts[id as usize] += 1;
    }
    let share = |start: &u32| -> u32 { (*start..start + width).map(|id| counts[(id % keys) as usize]).sum() };
    let start = (0..keys).max_by_key(share).unwrap();
    let percent = f64::from(share(&start)) * 100.0 / f64::from(u32::try_from(ids.len()).unwrap());
    assert!((87.0..93.0).contains(&percent), "{percent} % to {width} keys");
    start
}

#[test]
fn a_mix_holds_a_scan_and_a_hot_head() {
    let ids: Vec<u32> = workload(Shape::Mix, 1_000, 1.0, 4).ids().take(20_000).collect();
    let mut counts = vec![0_u32; 1_000];
    for &id in &ids {
        counts[id as usize] += 1;
    }
    assert!(counts.iter().all(|&count| count > 0), "the scan reaches every key");
    assert!(counts[0] > 1_000 && counts[1] > 500, "rank 0 {}, rank 1 {}", counts[0], counts[1]);
}

#[test]
fn bad_text_is_refused_with_what_would_be_right() {
    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(text.parse::<Workload>().unwrap_err().to_string(), expected);
    }
    check(
        "zipff,keys=3",
        "workload \"zipff\" is unknown, expected one of zipf, uniform, scan, loop, burst, mix",
    );
    check("zipf", "a workload without keys, expected for example zipf,keys=1000");
    check(
        "zipf,keys=0",
        "workload part \"keys=0\" is not valid, expected keys=1 or more, skew=number or seed=integer",
    );
    check("zipf,keys=9,skew=-1", "skew -1 is out of range, expected 0 to 10");
    check("zipf,keys=9,skew=NaN", "skew NaN is out of range, expected 0 to 10");
    check(
        "loop,keys",
        "workload part \"keys\" is not valid, expected keys=1 or more, skew=number or seed=integer",
    );
}

proptest! {
    #[test]
    fn ids_stay_below_the_keys_and_replay_from_the_printed_line(
        shape in prop::sample::select(Shape::ALL.as_slice()), keys in 1_u32..2_000, skew in 0.0..10.0, seed: u64,
    ) {
        let workload = workload(shape, keys, skew, seed);
        let ids: Vec<u32> = workload.ids().take(500).collect();
        prop_assert!(ids.iter().all(|&id| id < keys));
        let again: Workload = workload.to_string().parse().unwrap();
        prop_assert_eq!(again, workload);
        prop_assert!(again.ids().take(500).eq(ids));
    }

    #[test]
    fn the_largest_key_space_is_no_exception(skew in 0.0..10.0, seed: u64) {
        let ids = workload(Shape::Zipf, u32::MAX, skew, seed).ids();
        prop_assert!(ids.take(100).all(|id| id < u32::MAX));
    }
}
