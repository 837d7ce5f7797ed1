//! A bare axum handler: what a server costs that has one answer and no cache, served as axum's own examples do.

use std::io::{self, Write as _};

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::routing::get;
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::Outcome;
use crate::child::LISTENS;

/// The one answer.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A header, as `name: value`; may be given several times
    #[arg(long, value_name = "HEADER")]
    header: Vec<String>,
    /// The bytes
    #[arg(long)]
    body: String,
}

/// Serves until it is killed.
pub(super) fn run(args: &Args) -> Outcome {
    let headers = args.header.iter().map(|text| header(text)).collect::<Outcome<HeaderMap>>()?;
    let body = Bytes::from(args.body.clone());
    let answer = move || async move { (headers, body) };
    let router = Router::new().route("/v1/entries/{key}", get(answer));
    Runtime::new()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        writeln!(io::stderr(), "{LISTENS}{}", listener.local_addr()?)?;
        axum::serve(listener, router).await?;
        Ok(())
    })
}

fn header(text: &str) -> Outcome<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once(": ").ok_or("a header is `name: value`")?;
    Ok((name.parse()?, value.parse()?))
}
