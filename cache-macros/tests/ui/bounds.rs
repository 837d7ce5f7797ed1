//! Types that lack what a cached function needs of them: the error is at the type.

use strata::cached;

struct NotClone;

#[cached]
fn value(id: u64) -> NotClone {
    let _ = id;
    NotClone
}

#[cached]
async fn borrowed(of: &NotClone, id: u64) -> u64 {
    let _ = of;
    id
}

#[derive(Clone)]
struct NoParam;

#[cached]
fn argument(id: NoParam) -> u64 {
    let _ = id;
    7
}

#[cached]
async fn error(id: u64) -> Result<u64, std::fmt::Error> {
    Ok(id)
}

fn main() {}
