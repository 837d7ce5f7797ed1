//! Makes hits and nothing else, for a profiler that counts instructions: which ones, and how many.
//!
//! ```sh
//! cargo build --release -p strata --features macros --example hits
//! valgrind --tool=callgrind --callgrind-out-file=/dev/null target/release/examples/hits cached 40000
//! ```
//!
//! Two runs, one with twice as many: the difference is what the others cost, without the start. `loaded` is `Cache::get_or_load`
//! by a key of the same arguments, `cached` a function under `#[cached]`, and `now` a sync one.

use std::convert::Infallible;
use std::error::Error;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use strata::{Cache, CallKey, cached};

type Candles = Cache<CallKey, u64>;

#[cached(cache = cache, ttl = "1h", tags = ["candles:{symbol}"])]
async fn candles(cache: &Candles, symbol: &str, minutes: u32) -> u64 {
    tokio::task::yield_now().await;
    symbol.len() as u64 + u64::from(minutes)
}

#[cached(cache = cache, ttl = "1h", tags = ["candles:{symbol}"])]
fn candles_now(cache: &Candles, symbol: &str, minutes: u32) -> u64 {
    symbol.len() as u64 + u64::from(minutes)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, hits] = arguments.as_slice() else {
        return Err("say which path, loaded, cached or now, and how many hits: hits cached 40000".into());
    };
    let hits: u64 = hits.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let cache: Candles = Cache::builder("candles").build()?;
    let plain: Cache<(String, u32), u64> = Cache::builder("plain").build()?;
    let key = ("BTC/USD".to_owned(), 5);
    let load = || async { Ok::<_, Infallible>(12) };
    runtime.block_on(async {
        candles(&cache, "BTC/USD", 5).await;
        plain.get_or_load(&key, load).await
    })?;
    candles_now(&cache, "BTC/USD", 5);
    let mut sum = 0;
    for _ in 0..hits {
        sum += match path.as_str() {
            "loaded" => {
                ready(async { plain.get_or_load(black_box(&key), load).await.map_or(0, |hit| *hit) })?
            }
            "cached" => ready(candles(&cache, black_box("BTC/USD"), black_box(5)))?,
            "now" => candles_now(&cache, black_box("BTC/USD"), black_box(5)),
            other => return Err(format!("`{other}` is no path; it is loaded, cached or now").into()),
        };
    }
    if sum != hits * 12 {
        return Err("a hit had another answer, so this run counts something else".into());
    }
    Ok(())
}

/// What a future answers that is ready at once, as that of a hit is.
fn ready<T>(future: impl Future<Output = T>) -> Result<T, &'static str> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Ok(answer),
        Poll::Pending => Err("this was no hit"),
    }
}
