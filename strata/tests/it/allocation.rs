//! A typed hit is a shared pointer: it allocates nothing and copies no value.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use allocation_counter::measure;
use strata::{Cache, Memory, Policy, Ttl};

/// A value that tells when it is copied.
struct Report {
    text: String,
    copies: Arc<AtomicU64>,
}

impl Clone for Report {
    fn clone(&self) -> Self {
        self.copies.fetch_add(1, SeqCst);
        Self { text: self.text.clone(), copies: Arc::clone(&self.copies) }
    }
}

#[tokio::test]
async fn a_hit_neither_allocates_nor_copies_the_value() {
    for policy in Policy::ALL {
        let memory = Memory::new().with_max_entries(100).with_policy(policy).with_ttl(Ttl::from_secs(3600));
        let reports: Cache<String, Report> = Cache::builder("reports").memory(memory).build().expect("legal");
        let copies = Arc::new(AtomicU64::new(0));
        let report = Report { text: "x".repeat(10_000), copies: Arc::clone(&copies) };
        reports.insert("daily".to_owned(), report).await.expect("memory");

        let local = measure(|| {
            for _ in 0..1000 {
                assert_eq!(reports.get_local("daily").expect("stored above").text.len(), 10_000);
            }
        });
        assert_eq!(local.count_total, 0, "{policy}: get_local");

        let load = || async { Err::<Report, _>(crate::Down(0)) };
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let awaited = measure(|| {
            for _ in 0..1000 {
                let mut hit = std::pin::pin!(reports.get_or_load("daily", load));
                assert!(hit.as_mut().poll(&mut context).is_ready(), "a hit is ready on the first poll");
            }
        });
        assert_eq!(awaited.count_total, 0, "{policy}: get_or_load");
        assert_eq!(copies.load(SeqCst), 0);
    }
}

#[tokio::test]
async fn the_counter_counts() {
    let info = measure(|| drop(std::hint::black_box(vec![1, 2, 3])));
    assert_eq!(info.count_total, 1);
}
