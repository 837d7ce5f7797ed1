//! Limits when another server takes over: what it may not know of is waited for.

use std::time::Duration;

use cache_core::{Charge, Counters, Quota, Result, Verdict};
use cache_redis::{Connection, RedisCounters};
use cache_testkit::redis::{Sentinels, Server};

use crate::servers::{config, connection, ends, hasty, key, sentinel_config, succeeds};

const WINDOW: Duration = Duration::from_secs(2);
const GRACE: Duration = Duration::from_secs(1);

fn call(cost: u64) -> [Charge; 1] {
    let quota = Quota::new(10, WINDOW).expect("legal");
    [Charge::new(key("k"), quota, cost)]
}

/// The wait of a denial.
fn wait(verdict: Verdict) -> Option<Duration> {
    if let Verdict::Denied { wait } = verdict { Some(wait) } else { None }
}

/// Asks until something is admitted, and gives the longest wait that was told.
async fn longest_wait(counters: &RedisCounters) -> Duration {
    let mut longest = Duration::ZERO;
    succeeds(async || match counters.charge(&call(1)).await {
        Ok((Verdict::Admitted { .. }, _)) => Ok(()),
        Ok((verdict, _)) => {
            longest = longest.max(wait(verdict).unwrap_or_default());
            Err(())
        }
        Err(_) => Err(()),
    })
    .await;
    longest
}

#[tokio::test]
pub(crate) async fn a_server_that_takes_over_or_comes_back_empty_admits_nothing_for_a_window() -> Result<()> {
    let mut group = Sentinels::start();
    let redis = Connection::open(hasty(sentinel_config(&group))).expect("legal");
    let (plain, strict) =
        (RedisCounters::new(redis.clone()), RedisCounters::new(redis).with_strict_takeover(GRACE));
    let whole = WINDOW + GRACE;
    // No full window makes anybody wait for so long, so this is for who took over. Until then a primary that is about to be a
    // replica may answer.
    let distrusts = async || {
        succeeds(async || match strict.charge(&call(1)).await.map(|(verdict, _)| wait(verdict)) {
            Ok(Some(told)) if told > WINDOW + Duration::from_millis(100) => Ok(told),
            _ => Err(()),
        })
        .await
    };
    assert!(distrusts().await <= whole, "nobody has counted yet");
    for planned in [true, false] {
        longest_wait(&strict).await;
        assert_eq!(longest_wait(&strict).await, Duration::ZERO, "it goes on counting");
        if planned {
            group.fail_over();
        } else {
            group.kill_primary();
        }
        assert!(distrusts().await <= whole, "planned: {planned}");
        let goes_on = plain.charge(&call(0)).await?.0;
        assert!(matches!(goes_on, Verdict::Admitted { remaining } if remaining > 0), "who does not look");
    }
    Ok(())
}

#[tokio::test]
async fn who_only_asks_of_a_server_that_took_over_is_told_that_nothing_is_left() -> Result<()> {
    let mut server = Server::start();
    let redis = Connection::open(hasty(config(server.address()))).expect("legal");
    let strict = RedisCounters::new(redis).with_strict_takeover(GRACE);
    longest_wait(&strict).await;
    assert_eq!(strict.charge(&call(0)).await?.0, Verdict::Admitted { remaining: 9 });
    server.restart();
    let (asked, _) = succeeds(async || strict.charge(&call(0)).await).await;
    assert_eq!(asked, Verdict::Admitted { remaining: 0 });
    let (denied, _) = ends(strict.charge(&call(1))).await?;
    assert!(wait(denied).is_some_and(|wait| wait > WINDOW / 2), "{denied:?}");
    Ok(())
}

#[tokio::test]
async fn what_a_strict_takeover_leaves_ends_by_itself_and_stands_beside_no_key() -> Result<()> {
    let server = Server::start();
    let strict = RedisCounters::new(connection(&server)).with_strict_takeover(GRACE);
    strict.charge(&call(1)).await?;
    let book = "strata:c:{all}";
    assert_eq!(server.call(&["EXISTS", book]).integer(), Some(1));
    assert!(server.call(&["PTTL", book]).integer() > Some(366 * 86_400_000));
    assert_eq!(server.call(&["DBSIZE"]).integer(), Some(1));
    Ok(())
}
