//! The bus over Redis and a network that misbehaves: what is published is heard or doubted, whatever becomes of connections.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cache_invalidation::{Action, Attachment, Bus, Doubt, Event, Listener, Target};
use cache_redis::{Connection, RedisTransport};
use cache_testkit::redis::{Proxy, Server};

use crate::servers::{config, ends, hasty, succeeds};

/// What a node was told since the last event that it is asked about was published.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<Option<String>>>);

impl Told {
    fn has_heard(&self, key: &str) -> bool {
        self.0.lock().unwrap().iter().flatten().any(|heard| heard == key)
    }

    fn has_doubted(&self) -> bool {
        self.0.lock().unwrap().contains(&None)
    }

    fn forget(&self) {
        self.0.lock().unwrap().clear();
    }
}

impl Listener for Told {
    fn invalidated(&self, event: &Event) {
        self.0.lock().unwrap().push(Some(event.target().text().to_owned()));
    }

    fn distrust(&self, _: Doubt) {
        self.0.lock().unwrap().push(None);
    }
}

struct Node {
    bus: Bus,
    told: Arc<Told>,
    _attachment: Attachment,
}

impl Node {
    async fn open(address: SocketAddr) -> Self {
        let transport = RedisTransport::new(Connection::open(hasty(config(address))).expect("legal"));
        let ms = Duration::from_millis;
        let bus = Bus::builder(Arc::new(transport)).with_heartbeat(ms(50)).with_silence(ms(500)).open();
        let (bus, told) = (bus.expect("legal"), Arc::<Told>::default());
        let node = Self { _attachment: bus.attach("n", Arc::clone(&told) as _), bus, told };
        node.is_whole().await;
        node
    }

    async fn is_whole(&self) {
        succeeds(async || self.bus.is_whole().then_some(()).ok_or(())).await;
    }

    async fn publish(&self, key: &str) {
        let event = Event::new("n", Target::Key(key.into()), Action::Remove).expect("legal");
        ends(self.bus.publish(event)).await;
    }
}

#[tokio::test]
pub(crate) async fn what_is_published_while_a_connection_is_cut_is_heard_or_doubted() {
    let server = Server::start();
    let proxy = Proxy::to(server.address());
    let (here, there) = (Node::open(server.address()).await, Node::open(proxy.address()).await);
    let mut unheard = 0;
    for round in 0..20 {
        there.is_whole().await;
        there.told.forget();
        let keys: Vec<String> = (0..5).map(|number| format!("{round}:{number}")).collect();
        for (number, key) in keys.iter().enumerate() {
            if number == round % 5 {
                proxy.cut();
            }
            here.publish(key).await;
        }
        let told = || keys.iter().all(|key| there.told.has_heard(key)) || there.told.has_doubted();
        succeeds(async || told().then_some(()).ok_or(())).await;
        there.is_whole().await;
        unheard += keys.iter().filter(|key| !there.told.has_heard(key)).count();
    }
    assert!(unheard > 0, "the connection was never cut while something was on its way");
    assert!(there.bus.stats().doubts(Doubt::Missed) > 0, "{:?}", there.bus.stats());
}

#[tokio::test]
pub(crate) async fn a_connection_that_dies_in_silence_is_a_doubt_until_it_is_replaced() {
    let server = Server::start();
    let proxy = Proxy::to(server.address());
    let (here, there) = (Node::open(server.address()).await, Node::open(proxy.address()).await);
    there.told.forget();
    proxy.hold();
    here.publish("unheard").await;
    // Before that, the other one may have vanished, which is a doubt of its own.
    succeeds(async || (!there.bus.is_whole()).then_some(()).ok_or(())).await;
    succeeds(async || there.told.has_doubted().then_some(()).ok_or(())).await;
    there.told.forget();
    proxy.heal();
    there.is_whole().await;
    assert!(there.told.has_doubted(), "what was stored meanwhile may be older than what nobody has heard");
    here.publish("heard").await;
    succeeds(async || there.told.has_heard("heard").then_some(()).ok_or(())).await;
}

#[tokio::test]
pub(crate) async fn what_was_published_while_the_server_was_away_is_heard_when_it_is_back() {
    let mut server = Server::start();
    let (here, there) = (Node::open(server.address()).await, Node::open(server.address()).await);
    server.kill();
    for key in ["1", "2", "1"] {
        here.publish(key).await;
    }
    assert!(!here.bus.is_whole() || here.bus.stats().outbox_len > 0);
    server.restart();
    succeeds(async || (there.told.has_heard("1") && there.told.has_heard("2")).then_some(()).ok_or(())).await;
    here.is_whole().await;
    there.is_whole().await;
    assert_eq!(ends(here.bus.close(Duration::from_secs(30))).await.unsent, 0);
}
