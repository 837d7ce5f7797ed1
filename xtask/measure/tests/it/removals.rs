//! A cache over a real Redis with more keys than can be looked through while a caller waits.

use std::sync::Arc;
use std::time::Duration;

use cache_core::{Clock as _, Entry, Key, Store, Ttl};
use cache_redis::{Address, Config, Connection, Mode, RedisStore};
use cache_testkit::clock::{Passage as _, RealTime};
use cache_testkit::redis::{Proxy, Server};
use strata::codec::{Framer, Raw};
use strata::layer::Guards;
use strata::{Cache, Options, Tier};

const KEYS: u32 = 10_000;
/// What a caller waits for: ten pages, or less on a busy machine.
const PATIENCE: Duration = Duration::from_millis(200);
/// Each answer takes so long, of which a page needs two.
const AWAY: Duration = Duration::from_millis(10);

fn store(proxy: &Proxy) -> Arc<RedisStore> {
    let address = proxy.address();
    let config = Config::new(Mode::Standalone, [Address::new(address.ip().to_string(), address.port())]);
    let ms = Duration::from_millis;
    let config = config.with_command_timeout(ms(150)).with_backoff(ms(5), ms(50)).with_heartbeat(ms(200));
    Arc::new(RedisStore::new(Connection::open(config).expect("legal")))
}

fn cache(store: &Arc<RedisStore>, name: &str) -> Cache<u32, String> {
    let tier = Tier::from(Arc::clone(store)).with_guards(Guards::new().with_timeout(PATIENCE));
    let builder = Cache::builder(name).framer(Framer::new("value", Raw)).tier(tier);
    builder.options(Options::new().with_ttl(Ttl::from_secs(600))).build().expect("legal")
}

/// A server with all keys of the cache `users`, and whoever makes it slow.
async fn full() -> (Server, Proxy, Arc<RedisStore>) {
    let server = Server::start();
    let proxy = Proxy::to(server.address());
    let store = store(&proxy);
    for some in (0..KEYS).collect::<Vec<_>>().chunks(1000) {
        let entry = |key| (Key::new(format!("users:{key}")).expect("legal"), Entry::new("v"));
        until(async || store.put_many(some.iter().map(entry).collect()).await.is_ok()).await;
    }
    assert_eq!(left(&server), i64::from(KEYS));
    (server, proxy, store)
}

fn left(server: &Server) -> i64 {
    server.call(&["DBSIZE"]).integer().expect("a number")
}

fn pages(server: &Server) -> u64 {
    let calls = server.info("cmdstat_scan").expect("it was asked for");
    calls.split(['=', ',']).nth(1).and_then(|calls| calls.parse().ok()).expect("a number")
}

/// Waits until it is so, far longer than that can take.
pub(crate) async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let time = RealTime::new();
    let began = time.now();
    while !is_so().await {
        time.pass(Duration::from_millis(5)).await;
        assert!(time.now().since(began) < Duration::from_mins(2), "it never is");
    }
}

pub(crate) fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test);
}

#[test]
fn a_removal_ends_though_it_takes_many_times_as_long_as_a_caller_waits() {
    run(async {
        let (server, proxy, store) = full().await;
        let (users, others) = (cache(&store, "users"), cache(&store, "others"));
        proxy.delay(AWAY);
        users.clear().await.expect("never fails");
        assert_eq!(users.tiers()[0].backlog, 1, "it cannot be done yet");
        // What is removed meanwhile does not wait for it.
        others.insert(1, "here".to_owned()).await.expect("never fails");
        others.remove(&1).await.expect("never fails");
        assert_eq!(others.tiers()[0].backlog, 0);
        assert!(left(&server) > 0, "it was done before anybody could look");
        until(async || users.tiers()[0].backlog == 0).await;
        assert_eq!(left(&server), 0);
        let (asked, needed) = (pages(&server), u64::from(KEYS) / 250);
        assert!(asked <= needed * 2, "{asked} pages, where {needed} are enough");
    });
}

#[test]
fn a_server_that_hangs_in_the_midst_of_a_removal_holds_nobody_up_and_it_ends_all_the_same() {
    run(async {
        let (server, proxy, store) = full().await;
        let users = cache(&store, "users");
        proxy.delay(AWAY);
        users.clear().await.expect("never fails");
        for _ in 0..2 {
            proxy.hold();
            // Nobody is answered; who asks has his answer all the same, and what the tier was not told is owed to it.
            until(async || {
                users.get(&1).await.is_ok_and(|found| found.is_none()) && users.tiers()[0].away_for.is_some()
            })
            .await;
            users.insert(1, "new".to_owned()).await.expect("never fails");
            assert_eq!(users.get(&1).await.expect("never fails").as_deref().map(String::as_str), Some("new"));
            users.remove(&1).await.expect("never fails");
            assert!(users.tiers()[0].backlog >= 2, "the removal of all, and of a key: {:?}", users.tiers());
            proxy.heal();
            proxy.delay(AWAY);
            until(async || users.tiers()[0].away_for.is_none()).await;
        }
        until(async || users.tiers()[0].backlog == 0).await;
        assert_eq!(left(&server), 0);
    });
}
