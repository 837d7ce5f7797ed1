//! Functions that cannot be cached, or not like this.

use strata::{Cache, CallKey, cached};

#[cached]
struct NoFunction;

#[cached]
const fn constant(id: u64) -> u64 {
    id
}

#[cached]
fn nothing(id: u64) {
    let _ = id;
}

#[cached]
fn generic<T: ToString>(id: T) -> String {
    id.to_string()
}

#[cached]
fn anonymous(id: impl ToString) -> String {
    id.to_string()
}

#[cached]
fn pattern((a, b): (u64, u64)) -> u64 {
    a + b
}

#[cached]
fn changes(id: &mut u64) -> u64 {
    *id
}

#[cached]
fn borrowed(text: &str) -> &str {
    text
}

#[cached]
async fn inside(text: Option<&str>) -> usize {
    text.map_or(0, str::len)
}

struct Users {
    cache: Cache<CallKey, u64>,
}

impl Users {
    #[cached(name = "Users::shared")]
    fn shared(&self, id: u64) -> u64 {
        id
    }

    #[cached(cache = self.cache, name = "Users::changing")]
    fn changing(&mut self, id: u64) -> u64 {
        id
    }
}

fn main() {}
