//! Writers: what they have made wrong goes after an `Ok`, and only then.

use strata::{cached, invalidates};

use super::{Fault, State};

type Numbers = State<u64>;

#[cached(cache = state.cache)]
async fn number(state: &Numbers, id: u64) -> Result<u64, Fault> {
    Ok(id * 100 + state.ask())
}

#[cached(cache = state.cache)]
async fn total(state: &Numbers) -> Result<u64, Fault> {
    Ok(state.ask())
}

#[derive(Clone, Debug)]
struct Order {
    id: u64,
}

#[invalidates(number(state, order.id), total::invalidate(state))]
async fn write(state: &Numbers, order: Order, fails: bool) -> Result<Order, Fault> {
    if fails {
        return Err(Fault::Down);
    }
    Ok(order)
}

#[tokio::test]
async fn a_writer_invalidates_what_it_has_made_wrong() {
    let state = Numbers::new();
    assert_eq!(number(&state, 7).await, Ok(700));
    assert_eq!(number(&state, 8).await, Ok(801));
    assert_eq!(total(&state).await, Ok(2));
    assert_eq!(write(&state, Order { id: 7 }, false).await.map(|order| order.id), Ok(7));
    assert_eq!(number(&state, 7).await, Ok(703));
    assert_eq!(number(&state, 8).await, Ok(801), "another key stays");
    assert_eq!(total(&state).await, Ok(4));
}

#[tokio::test]
async fn a_writer_that_fails_invalidates_nothing() {
    let state = Numbers::new();
    assert_eq!(number(&state, 7).await, Ok(700));
    assert_eq!(write(&state, Order { id: 7 }, true).await.map(|order| order.id), Err(Fault::Down));
    assert_eq!(number(&state, 7).await, Ok(700));
    assert_eq!(state.asked(), 1);
}

#[derive(Clone)]
struct Shop {
    state: Numbers,
    sold: u64,
}

impl Shop {
    #[cached(cache = self.state.cache, name = "Shop::stock")]
    async fn stock(&self, id: u64) -> Result<u64, Fault> {
        Ok(id * 100 + self.state.ask())
    }

    #[cached(cache = self.state.cache, name = "Shop::price")]
    fn price(&self, id: u64) -> u64 {
        id * 100 + self.state.ask()
    }

    #[invalidates(self.stock(id))]
    async fn sell(&mut self, id: u64) -> Result<u64, Fault> {
        self.sold += 1;
        Ok(self.sold)
    }

    #[invalidates(self.price(id))]
    fn reprice(&self, id: u64, fails: bool) -> Result<(), Fault> {
        if fails { Err(Fault::Down) } else { Ok(()) }
    }
}

#[tokio::test]
async fn methods_invalidate_methods() {
    let mut shop = Shop { state: Numbers::new(), sold: 0 };
    assert_eq!(shop.stock(7).await, Ok(700));
    assert_eq!(shop.sell(7).await, Ok(1));
    assert_eq!(shop.stock(7).await, Ok(701));
}

#[test]
fn sync_writers_invalidate_sync_functions() {
    let shop = Shop { state: Numbers::new(), sold: 0 };
    assert_eq!(shop.price(7), 700);
    assert_eq!(shop.reprice(7, true), Err(Fault::Down));
    assert_eq!(shop.price(7), 700);
    assert_eq!(shop.reprice(7, false), Ok(()));
    assert_eq!(shop.price(7), 701);
}
