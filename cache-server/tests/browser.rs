//! The page in a real browser: headless Chromium, told what to do over its debugging pipe.
//!
//! Pictures of the page, light, dark and narrow, are left in the folder `pages` beside what the build makes for tests.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "browser/chromium.rs"]
mod chromium;
#[path = "it/client.rs"]
#[expect(dead_code, reason = "shared with the other tests")]
mod client;
#[path = "it/contract.rs"]
mod contract;
#[path = "browser/docs.rs"]
mod docs;
#[path = "browser/page.rs"]
mod page;
#[path = "it/server.rs"]
#[expect(dead_code, reason = "shared with the other tests")]
mod server;
