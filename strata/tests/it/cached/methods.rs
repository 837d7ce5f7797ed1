//! Methods: their cache comes from `self`, and what stands beside them are methods too.

use std::sync::Arc;

use strata::cached;

use super::{Fault, State};

#[derive(Clone)]
struct Users {
    state: State<u64>,
}

#[derive(Clone)]
struct Teams {
    state: State<u64>,
}

impl Users {
    #[cached(cache = self.state.cache, ttl = "5m", tags = ["user:{id}"])]
    async fn find(&self, id: u64) -> Result<u64, Fault> {
        Ok(id * 100 + self.state.ask())
    }

    #[cached(cache = self.state.cache, name = "Users::shared")]
    async fn shared(self: Arc<Self>, id: u64) -> Result<u64, Fault> {
        Ok(id * 100 + self.state.ask())
    }

    #[cached(cache = state.cache, name = "Users::of", associated)]
    async fn of(state: &State<u64>, id: u64) -> Result<u64, Fault> {
        Ok(id * 100 + state.ask())
    }

    #[cached(cache = self.state.cache, name = "Users::count")]
    fn count(&self, from: u64) -> u64 {
        from * 100 + self.state.ask()
    }
}

impl Teams {
    #[cached(cache = self.state.cache)]
    async fn find(&self, id: u64) -> Result<u64, Fault> {
        Ok(id * 100 + self.state.ask())
    }
}

#[tokio::test]
async fn a_method_is_answered_from_the_cache_of_its_object() {
    let users = Users { state: State::new() };
    assert_eq!(users.find(7).await, Ok(700));
    assert_eq!(users.find(7).await, Ok(700));
    let others = Users { state: State::new() };
    others.state.ask();
    assert_eq!(others.find(7).await, Ok(701));
    assert_eq!(users.find_refresh(7).await, Ok(701));
    assert_eq!(users.find_uncached(7).await, Ok(702));
    assert_eq!(users.find(7).await, Ok(701));
    assert!(users.find_invalidate(7).await.expect("removes"));
    assert_eq!(users.find(7).await, Ok(703));
    assert_eq!(users.state.cache.remove_tag("user:7").await.expect("removes"), 1);
}

#[tokio::test]
async fn methods_of_two_types_share_nothing() {
    let state = State::new();
    let (users, teams) = (Users { state: state.clone() }, Teams { state });
    assert_eq!(users.find(7).await, Ok(700));
    assert_eq!(teams.find(7).await, Ok(701));
    assert_eq!(users.find(7).await, Ok(700));
}

#[tokio::test]
async fn a_shared_object_is_taken_along_as_it_is() {
    let users = Arc::new(Users { state: State::new() });
    assert_eq!(Arc::clone(&users).shared(7).await, Ok(700));
    assert_eq!(Arc::clone(&users).shared(7).await, Ok(700));
    assert!(Arc::clone(&users).shared_invalidate(7).await.expect("removes"));
    assert_eq!(Arc::clone(&users).shared(7).await, Ok(701));
}

#[tokio::test]
async fn a_function_of_a_type_says_that_it_is_one() {
    let state = State::new();
    assert_eq!(Users::of(&state, 7).await, Ok(700));
    assert_eq!(Users::of(&state, 7).await, Ok(700));
    assert!(Users::of_invalidate(&state, 7).await.expect("removes"));
    assert_eq!(Users::of(&state, 7).await, Ok(701));
}

#[test]
fn a_sync_method_needs_no_runtime() {
    let users = Users { state: State::new() };
    assert_eq!(users.count(7), 700);
    assert_eq!(users.count(7), 700);
    assert!(users.count_invalidate(7));
    assert_eq!(users.count(7), 701);
}
