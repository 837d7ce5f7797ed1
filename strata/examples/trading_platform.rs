//! A trading platform: prices, order books, candles, predictions and sessions, each with the lifetime of its kind, events that
//! remove what they make untrue, and sessions that are sealed before they leave the process.
//!
//! `cargo run -p strata --example trading_platform --features msgpack,seal`

#![expect(clippy::print_stdout, reason = "it shows what it does")]
#![expect(clippy::float_cmp, reason = "what was stored comes back as it was")]
#![expect(clippy::disallowed_methods, reason = "a frame tells the time of day")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use strata::codec::{Framer, Keyring, Msgpack, SealKey, Step};
use strata::{Cache, Header, Key, Life, Options, Presets, Stale, Tags, Ttl, Wall};

type Failure = Box<dyn std::error::Error>;
type Pair = String;

struct Platform {
    prices: Cache<Pair, f64>,
    order_books: Cache<Pair, Vec<(f64, f64)>>,
    /// By pair and minutes.
    candles: Cache<(Pair, u32), f64>,
    /// By model and pair.
    predictions: Cache<(String, Pair), f64>,
}

impl Platform {
    fn new(presets: &Presets) -> Result<Self, Failure> {
        let kind = |name: &str| -> Result<Options, Failure> {
            let ttl = presets.get(name).ok_or_else(|| format!("no class {name}"))?;
            Ok(Options::new().with_ttl(ttl).with_jitter(0.1))
        };
        // A price that is a little old answers at once while a newer one is fetched; a candle stands in for an hour.
        let price = kind("price")?.with_stale_for(Duration::from_secs(5));
        let candle = kind("ohlcv")?.with_fail_safe_for(Duration::from_hours(1));
        Ok(Self {
            prices: Cache::builder("price").options(price).build()?,
            order_books: Cache::builder("order_book").options(kind("order_book")?).build()?,
            candles: Cache::builder("ohlcv").options(candle).build()?,
            predictions: Cache::builder("prediction").options(kind("prediction")?).build()?,
        })
    }

    /// A trade makes untrue what is known of its pair.
    async fn trade_executed(&self, pair: &str) -> Result<u64, Failure> {
        let mut removed = u64::from(self.prices.remove(pair).await?);
        removed += u64::from(self.order_books.remove(pair).await?);
        // All candles of the pair: the empty part ends the prefix where a part ends.
        removed += self.candles.remove_prefix(&(pair.to_owned(), "")).await?;
        removed += self.predictions.remove_tag(&format!("pair:{pair}")).await?;
        Ok(removed)
    }

    /// A model that was trained anew has said nothing yet.
    async fn model_retrained(&self, model: &str) -> Result<u64, Failure> {
        Ok(self.predictions.remove_tag(&format!("model:{model}")).await?)
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let platform = Platform::new(&Presets::from_env(|name| std::env::var(name).ok())?)?;
    let pair = || "BTC/USD".to_owned();

    let quote = || async { Ok::<_, std::io::Error>(101.5) };
    assert_eq!(*platform.prices.get_or_load(&pair(), quote).await?, 101.5);
    platform.order_books.insert(pair(), vec![(101.4, 3.0), (101.6, 2.0)]).await?;
    for minutes in [1, 5, 60] {
        platform.candles.insert((pair(), minutes), 100.0).await?;
    }
    for (model, forecast) in [("trend", 0.7), ("news", 0.2)] {
        let tags = Tags::new(["pair:BTC/USD".to_owned(), format!("model:{model}")])?;
        platform
            .predictions
            .insert_with((model.into(), pair()), forecast, Options::new().with_tags(tags))
            .await?;
    }

    // The exchange is down: the last candle stands in, and says so.
    platform.candles.expire(&(pair(), 5)).await?;
    let down = || async { Err::<f64, _>(std::io::Error::other("no exchange")) };
    assert_eq!(platform.candles.get_or_load(&(pair(), 5), down).await?.stale(), Some(Stale::Failed));

    assert_eq!(platform.model_retrained("trend").await?, 1);
    assert_eq!(platform.trade_executed("BTC/USD").await?, 6);

    // What leaves the process is sealed, bound to its key, and its keys rotate.
    let secret = SealKey::from_hex(&"5e".repeat(32))?;
    let sessions: Framer<String> = Framer::new("session", Msgpack).with_keys(Keyring::new(1, secret));
    let (mine, other) = (Key::new("session:1")?, Key::new("session:2")?);
    let now = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let header = Header::new(Life::new(Wall::from_unix_millis(now), Ttl::from_secs(86_400)));
    let frame = sessions.encode(&mine, &"ada, admin".to_owned(), &header)?;
    assert_eq!(sessions.decode(&mine, &frame)?.value, "ada, admin");
    assert!(!frame.windows(3).any(|bytes| bytes == b"ada"), "nobody reads it on the way");
    assert!(sessions.decode(&other, &frame).is_err(), "nobody moves it to another key");
    println!("{} frames refused", sessions.stats().failed.iter().sum::<u64>());
    assert!(Step::ALL.iter().any(|step| sessions.stats().failed_at(*step) == 1));
    Ok(())
}

#[test]
fn what_it_shows_holds() -> Result<(), Failure> {
    main()
}
