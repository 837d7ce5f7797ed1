//! What every [`Transport`] promises: messages in order, to every subscriber, and the truth about those that are lost.
//!
//! Nothing here waits for the absence of a message, which no test can see the end of: what should not arrive is
//! followed by what should, and the first to arrive must be that.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use cache_core::{Received, Result, Subscription, Transport};
use futures_util::future;

/// Asks everything. `flood` is a number of short messages that no subscription keeps for a receiver who does not
/// receive.
pub async fn all(transport: &dyn Transport, flood: usize) {
    run! {
        own_messages_come_back(transport);
        nobody_has_to_listen(transport);
        only_what_is_published_later_arrives(transport);
        messages_of_a_publisher_arrive_in_order(transport);
        every_subscriber_gets_each_message(transport);
        channels_are_separate(transport);
        channel_names_are_text_not_patterns(transport);
        any_bytes_arrive(transport);
        a_waiting_receiver_is_woken(transport);
        a_dropped_wait_loses_no_message(transport);
        a_dropped_subscription_disturbs_nobody(transport);
        overflow_is_reported_where_the_messages_are_missing(transport, flood);
        a_slow_receiver_does_not_cost_others_a_message(transport, flood);
    }
}

/// The sender is a subscriber like any other.
pub async fn own_messages_come_back(transport: &dyn Transport) -> Result<()> {
    let mut own = transport.subscribe("suite:own").await?;
    publish(transport, "suite:own", &["hello"]).await?;
    assert_receives(&mut *own, &["hello"]).await
}

/// A message to nobody is taken, and is nobody's.
pub async fn nobody_has_to_listen(transport: &dyn Transport) -> Result<()> {
    publish(transport, "suite:nobody", &["lost"]).await?;
    let mut late = transport.subscribe("suite:nobody").await?;
    publish(transport, "suite:nobody", &["found"]).await?;
    assert_receives(&mut *late, &["found"]).await
}

/// A subscription begins when it is made, also where others have long been listening.
pub async fn only_what_is_published_later_arrives(transport: &dyn Transport) -> Result<()> {
    let mut early = transport.subscribe("suite:later").await?;
    publish(transport, "suite:later", &["1"]).await?;
    let mut late = transport.subscribe("suite:later").await?;
    publish(transport, "suite:later", &["2"]).await?;
    assert_receives(&mut *late, &["2"]).await?;
    assert_receives(&mut *early, &["1", "2"]).await
}

/// Of two publishers at the same time each one's messages keep their order.
pub async fn messages_of_a_publisher_arrive_in_order(transport: &dyn Transport) -> Result<()> {
    let channel = "suite:order";
    let mut subscription = transport.subscribe(channel).await?;
    let named = |name: &str| (0..50).map(|number| format!("{name}{number:02}")).collect::<Vec<_>>();
    let (one, other) = (named("a"), named("b"));
    future::try_join(publish(transport, channel, &one), publish(transport, channel, &other)).await?;
    let received = messages(&mut *subscription, 100).await?;
    let of = |name| received.iter().filter(|message| message.starts_with(name)).cloned().collect::<Vec<_>>();
    assert_eq!((of(b"a"), of(b"b")), (bytes(&one), bytes(&other)));
    Ok(())
}

/// A message is not used up by being received.
pub async fn every_subscriber_gets_each_message(transport: &dyn Transport) -> Result<()> {
    let subscribe = || transport.subscribe("suite:each");
    let mut subscriptions = future::try_join_all([subscribe(), subscribe(), subscribe()]).await?;
    publish(transport, "suite:each", &["1", "2"]).await?;
    for subscription in &mut subscriptions {
        assert_receives(&mut **subscription, &["1", "2"]).await?;
    }
    Ok(())
}

/// What is said in one channel is not heard in another, however alike their names are.
pub async fn channels_are_separate(transport: &dyn Transport) -> Result<()> {
    let names =
        ["suite:channel", "suite:channel:a", "suite:Channel", "suite:channel ", "suite:größe 東京 🦀"];
    let mut subscriptions = future::try_join_all(names.map(|name| transport.subscribe(name))).await?;
    for name in names {
        publish(transport, name, &[name]).await?;
    }
    for (name, subscription) in names.iter().zip(&mut subscriptions) {
        assert_receives(&mut **subscription, &[name]).await?;
        publish(transport, name, &["last"]).await?;
        assert_receives(&mut **subscription, &["last"]).await?;
    }
    Ok(())
}

/// What means "any" elsewhere means itself here, on both sides.
pub async fn channel_names_are_text_not_patterns(transport: &dyn Transport) -> Result<()> {
    let (glob, text) = ("suite:glob:[a-z]*?\\", "suite:glob:a");
    let mut pair = future::try_join_all([glob, text].map(|name| transport.subscribe(name))).await?;
    publish(transport, text, &["text"]).await?;
    publish(transport, glob, &["glob"]).await?;
    publish(transport, text, &["last"]).await?;
    assert_receives(&mut *pair[0], &["glob"]).await?;
    assert_receives(&mut *pair[1], &["text", "last"]).await
}

/// Messages are bytes, not text; none and many are legal.
pub async fn any_bytes_arrive(transport: &dyn Transport) -> Result<()> {
    let mut subscription = transport.subscribe("suite:bytes").await?;
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    let sent = [Bytes::new(), every_byte.repeat(256).into(), every_byte.into(), "\r\n+OK\r\n".into()];
    for message in &sent {
        transport.publish("suite:bytes", message.clone()).await?;
    }
    assert_eq!(messages(&mut *subscription, sent.len()).await?, sent);
    Ok(())
}

/// A receiver that waits already is told when something comes.
pub async fn a_waiting_receiver_is_woken(transport: &dyn Transport) -> Result<()> {
    let mut subscription = transport.subscribe("suite:woken").await?;
    let (received, ()) =
        future::try_join(subscription.receive(), publish(transport, "suite:woken", &["now"])).await?;
    assert_eq!(received, Received::Message("now".into()));
    Ok(())
}

/// `receive` is cancel safe: dropped before, while and after something has come, it takes nothing with it.
pub async fn a_dropped_wait_loses_no_message(transport: &dyn Transport) -> Result<()> {
    let mut subscription = transport.subscribe("suite:dropped wait").await?;
    drop(subscription.receive());
    {
        let mut wait = pin!(subscription.receive());
        assert!(!is_ready(wait.as_mut()), "it received before anything was published");
        publish(transport, "suite:dropped wait", &["1", "2"]).await?;
    }
    drop(subscription.receive());
    assert_receives(&mut *subscription, &["1", "2"]).await
}

/// Ending one subscription ends that one only.
pub async fn a_dropped_subscription_disturbs_nobody(transport: &dyn Transport) -> Result<()> {
    let channel = "suite:dropped";
    let first = transport.subscribe(channel).await?;
    let mut second = transport.subscribe(channel).await?;
    publish(transport, channel, &["1"]).await?;
    drop(first);
    publish(transport, channel, &["2"]).await?;
    assert_receives(&mut *second, &["1", "2"]).await?;
    drop(second);
    publish(transport, channel, &["nobody hears this"]).await?;
    let mut third = transport.subscribe(channel).await?;
    publish(transport, channel, &["3"]).await?;
    assert_receives(&mut *third, &["3"]).await
}

/// `Missed` stands exactly in the gaps: never between two neighbours, always where one is missing. After it the
/// subscription goes on.
pub async fn overflow_is_reported_where_the_messages_are_missing(
    transport: &dyn Transport,
    flood: usize,
) -> Result<()> {
    let channel = "suite:overflow";
    let mut subscription = transport.subscribe(channel).await?;
    publish_numbers(transport, channel, 0..flood).await?;
    let mut order = Order::default();
    // Each turn makes room for one message and publishes one, so there always is or will be something to receive.
    for number in flood..flood * 4 {
        match subscription.receive().await? {
            Received::Message(message) => order.message(&message),
            Received::Missed => order.missed(),
        }
        if order.next > flood {
            break;
        }
        publish_numbers(transport, channel, number..=number).await?;
    }
    assert!(order.next > flood, "nothing that came after the flood was received");
    assert!(order.gaps > 0, "{flood} messages should have been too many");
    Ok(())
}

/// Each subscription has its own queue: one that is full loses its own messages only, and delays nobody.
pub async fn a_slow_receiver_does_not_cost_others_a_message(
    transport: &dyn Transport,
    flood: usize,
) -> Result<()> {
    let channel = "suite:slow";
    let slow = transport.subscribe(channel).await?;
    let mut quick = transport.subscribe(channel).await?;
    for number in 0..flood {
        publish_numbers(transport, channel, number..=number).await?;
        assert_receives(&mut *quick, &[number.to_string()]).await?;
    }
    drop(slow);
    Ok(())
}

/// The numbered messages of a flood, as they arrive.
#[derive(Default)]
struct Order {
    next: usize,
    gap: bool,
    gaps: usize,
}

impl Order {
    fn message(&mut self, message: &Bytes) {
        let Ok(Ok(number)) = str::from_utf8(message).map(str::parse::<usize>) else {
            panic!("{message:?} was never published")
        };
        assert!(number >= self.next, "message {number} where {} was next", self.next);
        assert_eq!(number > self.next, self.gap, "message {number} was reported as following a gap");
        self.next = number + 1;
        self.gap = false;
    }

    fn missed(&mut self) {
        self.gap = true;
        self.gaps += 1;
    }
}

fn is_ready(future: std::pin::Pin<&mut impl Future>) -> bool {
    matches!(future.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(_))
}

fn bytes(texts: &[impl AsRef<str>]) -> Vec<Bytes> {
    texts.iter().map(|text| Bytes::copy_from_slice(text.as_ref().as_bytes())).collect()
}

async fn publish(transport: &dyn Transport, channel: &str, texts: &[impl AsRef<str>]) -> Result<()> {
    for message in bytes(texts) {
        transport.publish(channel, message).await?;
    }
    Ok(())
}

async fn publish_numbers(
    transport: &dyn Transport,
    channel: &str,
    numbers: impl Iterator<Item = usize>,
) -> Result<()> {
    publish(transport, channel, &numbers.map(|number| number.to_string()).collect::<Vec<_>>()).await
}

async fn messages(subscription: &mut dyn Subscription, count: usize) -> Result<Vec<Bytes>> {
    let mut messages = Vec::new();
    while messages.len() < count {
        match subscription.receive().await? {
            Received::Message(message) => messages.push(message),
            Received::Missed => panic!("something is reported as missed after {messages:?}"),
        }
    }
    Ok(messages)
}

async fn assert_receives(subscription: &mut dyn Subscription, expected: &[impl AsRef<str>]) -> Result<()> {
    assert_eq!(messages(subscription, expected.len()).await?, bytes(expected));
    Ok(())
}
